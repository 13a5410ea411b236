/** What the backend serves. */

/** One service of the backend; gateways are started anew for each. */
export type Service = 'small' | 'large' | 'stream' | 'grpc' | 'http1' | 'tcp';

/** The port of each service. */
export type BackendPorts = Readonly<Record<Service, number>>;
