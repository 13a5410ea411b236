/** Where a one-way TLS server has its certificate from: a source that can change while it serves. */
import { type SvidSource, type X509Svid } from '../x509/svid.ts';
import { credentialsOf, type TlsCredentials } from './context.ts';

/** A certificate with its key, now and later. */
export interface ServerCredentials {
  /** `undefined` while there is none. */
  current(): TlsCredentials | undefined;
  /** Calls `listener` after every change, until disposed of. */
  watch(listener: (credentials: TlsCredentials | undefined) => void): Disposable;
}

/** The SVID as a server certificate (profile https_spiffe). */
export function svidCredentials(svid: SvidSource): ServerCredentials {
  return {
    current: () => credentialsIn(svid.current()),
    watch: (listener) => svid.watch((next) => listener(credentialsIn(next))),
  };
}

function credentialsIn(svid: X509Svid | undefined): TlsCredentials | undefined {
  return svid && credentialsOf(svid);
}
