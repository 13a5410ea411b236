/** The folders with a `.proto` and what is generated from it. */

/** From the root of the repository. */
export const GENERATED = ['federation/peering', 'trust-bundles/workload-api-proto'] as const;
