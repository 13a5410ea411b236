/** The JWT keys of the embedded CA: phases as for roots, and every step taken by one pure function. */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';

import { asRecord } from '../../base/brand.ts';
import { invariant, JumpgateError } from '../../base/errors.ts';
import { type SpiffeId } from '../identity/spiffe-id.ts';
import { type IssuedJwt, issueJwtSvid } from '../jwt/issue.ts';
import { jwtAuthorityOf } from '../jwt/keys.ts';
import { privateKeyToPem } from '../x509/pem.ts';
import {
  activatePrepared,
  activeRoot,
  type DueStep,
  dropSpent,
  fetchedByAllAtMs,
  HINTS_BEFORE_USE,
  nextStep,
  type PhasedRoot,
  type PhaseTimes,
  preparedRoot,
} from './phase.ts';

/** An ECDSA P-256 key that signs tokens; `fingerprint` is over its SubjectPublicKeyInfo, and is its key ID. */
export interface JwtSigningKey extends PhasedRoot {
  readonly key: KeyObject;
}

/** Prepared at half of it. SPIRE's keys live for a day; a week leaves room for long hints and peers that are away. */
const JWT_KEY_TTL_MS = 7 * 24 * 60 * 60 * 1000;
/** Of a life: what must lie between the preparation of a successor and the end, that it can be published for long enough. */
const HINTS_PER_LIFE = 4 * HINTS_BEFORE_USE;
/** As in SPIRE: whoever sees a token can use it, so it ends soon. */
const JWT_TTL_MS = 5 * 60 * 1000;
const JWT_TTL_MS_MIN = 1_000;
/** Far below the day for which a retired key stays published. */
const JWT_TTL_MS_MAX = 60 * 60 * 1000;
/** Two keys are the rule; rotating by hand many times within a day makes more. */
export const JWT_KEYS_MAX = 32;

/** The keys after every step that is due, among them the first key of all; the same list when none is. */
export function rotatedJwtKeys(keys: readonly JwtSigningKey[], times: PhaseTimes): readonly JwtSigningKey[] {
  const kept = dropSpent(keys, times.nowMs);
  const step = nextJwtStep(kept, times);
  if (step.atMs > times.nowMs) return kept.length === keys.length ? keys : kept;
  switch (step.kind) {
    case 'create':
      return rotatedJwtKeys([...kept, createJwtKey('active', times)], times);
    case 'prepare':
      return rotatedJwtKeys([...kept, createJwtKey('prepared', times)], times);
    case 'activate':
      return rotatedJwtKeys(activatePrepared(kept, times.nowMs), times);
    case 'drop':
      return kept;
    default:
      return step.kind satisfies never;
  }
}

/** The next step and when: as for roots, but a prepared key signs as soon as it has been published for five refresh hints. */
export function nextJwtStep(keys: readonly JwtSigningKey[], times: PhaseTimes): DueStep {
  const prepared = preparedRoot(keys);
  const step = nextStep(keys, times);
  if (prepared === undefined || activeRoot(keys) === undefined) return step;
  const activateAtMs = fetchedByAllAtMs(prepared.phaseSinceMs, times.refreshHintSeconds);
  if (step.kind === 'drop' && step.atMs < activateAtMs) return step;
  return { kind: 'activate', atMs: activateAtMs };
}

/** With a key that is published to sign next; one that is prepared already is it. Throws `too-many-jwt-keys`. */
export function withPreparedJwtKey(keys: readonly JwtSigningKey[], times: PhaseTimes): readonly JwtSigningKey[] {
  if (preparedRoot(keys) !== undefined) return keys;
  if (keys.length >= JWT_KEYS_MAX) {
    const message = `expected fewer than ${JWT_KEYS_MAX} JWT keys, found ${keys.length}: retired keys leave after 24 h, rotate less often`;
    throw new JumpgateError('too-many-jwt-keys', message, { source: 'caller', retry: 'later' });
  }
  return [...keys, createJwtKey('prepared', times)];
}

/**
 * A token signed by the active key, for a workload that the caller has checked; never valid beyond the key. `ttlMs` by
 * default five minutes. Throws `jwt-ttl` beside what issueJwtSvid throws.
 */
export function issueFromJwtKeys(
  keys: readonly JwtSigningKey[],
  request: {
    readonly id: SpiffeId;
    readonly audience: readonly string[];
    readonly ttlMs: number | undefined;
    readonly nowMs: number;
  },
): IssuedJwt {
  const { id, audience, nowMs, ttlMs = JWT_TTL_MS } = request;
  if (!(ttlMs >= JWT_TTL_MS_MIN && ttlMs <= JWT_TTL_MS_MAX)) {
    const message = `expected a token lifetime of ${JWT_TTL_MS_MIN} to ${JWT_TTL_MS_MAX} ms, found ${ttlMs} ms`;
    throw new JumpgateError('jwt-ttl', message, { source: 'caller' });
  }
  const signer = activeRoot(keys);
  invariant(signer !== undefined, 'an open CA has an active JWT key');
  const endMs = Math.min(nowMs + ttlMs, signer.notAfterMs);
  return issueJwtSvid({ key: signer.key, keyId: signer.fingerprint, id, audience, nowMs, ttlMs: endMs - nowMs });
}

/** A key as a row of the CA's file. */
export function jwtKeyRow({ key, ...facts }: JwtSigningKey): Readonly<Record<string, unknown>> {
  return { ...facts, key: privateKeyToPem(key) };
}

/** The key that a row holds. Throws an error that says what is wrong with it. */
export function readJwtKeyRow(row: unknown): JwtSigningKey {
  const { phase, phaseSinceMs, notBeforeMs, notAfterMs, key: pem, fingerprint } = asRecord(row) ?? {};
  if (phase !== 'prepared' && phase !== 'active' && phase !== 'retired') throw new Error('no known phase');
  if (typeof phaseSinceMs !== 'number' || typeof notBeforeMs !== 'number' || typeof notAfterMs !== 'number') {
    throw new Error('it lacks a time');
  }
  if (typeof pem !== 'string') throw new Error('it lacks its key');
  const key = createPrivateKey(pem);
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('its key is no ECDSA P-256 key');
  const { keyId } = jwtAuthorityOf(key);
  if (keyId !== fingerprint) throw new Error('its fingerprint is not that of its key');
  return { phase, phaseSinceMs, notBeforeMs, notAfterMs, key, fingerprint: keyId };
}

function createJwtKey(phase: 'prepared' | 'active', { nowMs, refreshHintSeconds }: PhaseTimes): JwtSigningKey {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const lifeMs = Math.max(JWT_KEY_TTL_MS, HINTS_PER_LIFE * refreshHintSeconds * 1000);
  const { keyId } = jwtAuthorityOf(privateKey);
  return {
    key: privateKey,
    fingerprint: keyId,
    phase,
    phaseSinceMs: nowMs,
    notBeforeMs: nowMs,
    notAfterMs: nowMs + lifeMs,
  };
}
