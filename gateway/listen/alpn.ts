/** The protocol that the two ends of a TLS connection agreed on. */

/** The protocol of an ALPN name; clients without ALPN speak HTTP/1.1. */
export function protocolOf(alpn: string | undefined): 'http1' | 'http2' {
  return alpn === 'h2' ? 'http2' : 'http1';
}
