const HUGE_PAGES = 'glibc.malloc.hugetlb';

/**
 * The environment of an engine process: glibc is asked to put large allocations, the weights, into huge pages, which makes
 * decoding a single sequence faster. Other C libraries do not look at the variable; what the user has set about
 * huge pages stays.
 */
export function engineEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const tunables = environment.GLIBC_TUNABLES?.split(':').filter((tunable) => tunable !== '') ?? [];
  if (tunables.some((tunable) => tunable.startsWith(`${HUGE_PAGES}=`))) return environment;
  return { ...environment, GLIBC_TUNABLES: [...tunables, `${HUGE_PAGES}=1`].join(':') };
}
