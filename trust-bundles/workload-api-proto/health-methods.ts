/** The methods of gRPC's health checking (grpc/grpc doc/health-checking.md). */
import { Health, HealthCheckResponse_ServingStatus } from './generated/health_pb.js';
import { methodOf } from './method.ts';

/** One service now. */
export const HEALTH_CHECK = methodOf(Health.method.check);
/** All services now. */
export const HEALTH_LIST = methodOf(Health.method.list);
/** One service, now and after each change. */
export const HEALTH_WATCH = methodOf(Health.method.watch);

/** What is answered of a service. */
export const SERVING_STATUS = {
  serving: HealthCheckResponse_ServingStatus.SERVING,
  notServing: HealthCheckResponse_ServingStatus.NOT_SERVING,
  unknown: HealthCheckResponse_ServingStatus.SERVICE_UNKNOWN,
} as const;

/** One of {@link SERVING_STATUS}. */
export type ServingStatus = (typeof SERVING_STATUS)[keyof typeof SERVING_STATUS];
