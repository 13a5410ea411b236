/** What documents say of a listener, as TLS takes it. */
import { type Limits } from '../../federation/resources/limits.ts';
import { type AcceptLimits } from '../../trust-bundles/tls/accept.ts';

/** Of the connections of a listener, which one remote address can have: one host cannot take all. */
const ADDRESS_SHARE = 1 / 4;

/** What documents say of a listener, as TLS takes it. */
export function acceptLimits(limits: Limits): AcceptLimits {
  const { connectionsPerListener, handshakeMs, handshakesPerTurn, keepAliveProbeMs } = limits;
  return {
    handshakeTimeoutMs: handshakeMs,
    handshakesPerTurn,
    connectionsMax: connectionsPerListener,
    connectionsPerAddressMax: Math.ceil(connectionsPerListener * ADDRESS_SHARE),
    keepAliveProbeMs,
  };
}
