/** Takes the tunnels that come over links: export, policy, backend. */
import { decideExport } from '../../federation/policy/decide.ts';
import { type Origin } from '../../base/origin.ts';
import { type SnapshotExport, type SnapshotSource } from '../../federation/snapshot/snapshot.ts';
import { type CallHost } from '../forward/call-host.ts';
import { BudgetHandle } from '../forward/caller-budget.ts';
import { Subjects } from '../forward/subjects.ts';
import { type View } from '../forward/view.ts';
import { type AskedTunnel, type InboundTunnels } from '../inbound/tunnels.ts';
import { type StreamReceiver } from '../message/stream.ts';
import { type ReasonCode } from '../refusal/reason.ts';
import { matchExport } from '../routing/match.ts';
import { type BackendTls } from '../routing/backend-tls.ts';
import { BackendTurns } from './backend-dial.ts';
import { ExitTunnel } from './exit-tunnel.ts';

/** A host name and a port, which says nothing but must be there (RFC 9110 §9.3.6). */
const AUTHORITY = /^([^:]+):([1-9][0-9]{0,4})$/;
const PORT_MAX = 65_535;

type Judged =
  | { readonly kind: 'way'; readonly exported: SnapshotExport; readonly rule: string; readonly origin: Origin }
  | {
      readonly kind: 'refusal';
      readonly exported: SnapshotExport | undefined;
      readonly reason: ReasonCode;
      readonly origin?: Origin | undefined;
    };

/** See the head of this file. */
export class TunnelCalls implements InboundTunnels, Disposable {
  readonly #host: CallHost;
  readonly #turns: BackendTurns;
  readonly #tls: BackendTls;
  readonly #follow: Disposable;

  constructor(host: CallHost, snapshots: SnapshotSource, tls: BackendTls) {
    this.#host = host;
    this.#tls = tls;
    this.#turns = new BackendTurns(host.clock);
    this.#follow = snapshots.watch(({ exports }) => this.#turns.keep(exports));
  }

  open(asked: AskedTunnel): StreamReceiver {
    const { caller, end, gateway, head, peer, snapshot, stream } = asked;
    const budget = new BudgetHandle(this.#host.budgets.inbound, peer, caller);
    const review = (view: View): ReasonCode | undefined => refusalUnder(view, asked, judged.exported);
    const judged = judge(asked);
    const subjects = new Subjects({
      direction: 'inbound',
      listener: 'jump',
      caller,
      peer,
      gateway,
      export: judged.exported?.name,
    });
    const subject = subjects.of(judged.kind === 'way' ? judged.rule : undefined, judged.origin);
    const tunnel = new ExitTunnel(this.#host, { stream, end, host: head.authority.value, budget, review }, subject);
    if (judged.kind === 'refusal') tunnel.refuse(judged.reason, 'denial');
    else {
      const { limits } = snapshot;
      tunnel.begin(
        judged.exported,
        { turns: this.#turns, tls: this.#tls },
        {
          helloMs: limits.handshakeMs,
          idleMs: judged.exported.limits.tunnelIdleMs ?? limits.tunnelIdleMs,
          keepAliveMs: limits.keepAliveProbeMs,
        },
      );
    }
    return tunnel;
  }

  [Symbol.dispose](): void {
    this.#follow[Symbol.dispose]();
  }
}

/** Its export must be the one that it went to. */
function refusalUnder(
  { snapshot }: View,
  asked: AskedTunnel,
  exported: SnapshotExport | undefined,
): ReasonCode | undefined {
  const judged = judge({ ...asked, snapshot });
  if (judged.kind === 'refusal') return judged.reason;
  return judged.exported.name === exported?.name ? undefined : 'no-route';
}

function judge({ caller, head, peer, snapshot }: AskedTunnel): Judged {
  const [, host, port] = AUTHORITY.exec(head.authority.value) ?? [];
  if (host === undefined || Number(port) > PORT_MAX) {
    return { kind: 'refusal', exported: undefined, reason: 'authority-malformed' };
  }
  const exported = matchExport(snapshot, host);
  if (exported === undefined) return { kind: 'refusal', exported, reason: 'no-route' };
  const verdict = decideExport({ exported, caller, peer, distrust: snapshot.distrust, call: { kind: 'connection' } });
  if (verdict.kind === 'permit') return { kind: 'way', exported, rule: verdict.rule, origin: verdict.origin };
  // An export that is hidden from the peer gets the very answer of one that does not exist.
  const reason = verdict.visible ? verdict.reason : 'no-route';
  return { kind: 'refusal', exported, reason, origin: verdict.origin ?? exported.origin };
}
