/** How an export's service speaks: in calls that a gateway reads, or in connections that it carries unread. */

/** Every protocol. */
export const EXPORT_PROTOCOLS = ['http1', 'http2', 'grpc', 'tcp', 'tls'] as const;

/** `tcp` is any bytes; `tls` is passed through by the name that its ClientHello asks for, never decrypted. */
export type ExportProtocol = (typeof EXPORT_PROTOCOLS)[number];

/** Whether the service takes connections (CONNECT tunnels on a link) rather than calls. */
export function isTunnelProtocol(protocol: ExportProtocol): protocol is 'tcp' | 'tls' {
  return protocol === 'tcp' || protocol === 'tls';
}
