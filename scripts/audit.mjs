// Fails when a package that Quire runs with has a known vulnerability of severity high or critical. Not every registry can tell:
// one that cannot is said so loudly and fails nothing, as CI would otherwise depend on somebody else's service.
import { spawnSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';

const SEVERITIES = ['high', 'critical'];

/**
 * What the JSON of `npm audit` says.
 *
 * @param {string} json
 * @returns {{ outcome: 'clean' | 'vulnerable' | 'unavailable', lines: string[] }}
 */
export function readAudit(json) {
  let report;
  try {
    report = JSON.parse(json);
  } catch {
    return { outcome: 'unavailable', lines: ['npm audit did not answer with JSON'] };
  }
  const counts = report?.metadata?.vulnerabilities;
  if (typeof counts !== 'object' || counts === null) {
    return {
      outcome: 'unavailable',
      lines: [report?.message ?? report?.error?.summary ?? 'the registry gave no report'],
    };
  }
  const found = Object.values(report.vulnerabilities ?? {}).filter(({ severity }) => SEVERITIES.includes(severity));
  const isClean = found.length === 0 && SEVERITIES.every((severity) => !counts[severity]);
  const lines = found.map(({ name, severity, range }) => `${severity}: ${name} ${range}`);
  return { outcome: isClean ? 'clean' : 'vulnerable', lines };
}

function main() {
  const { stdout } = spawnSync('npm', ['audit', '--omit=dev', '--audit-level=high', '--json'], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  const { outcome, lines } = readAudit(stdout ?? '');
  switch (outcome) {
    case 'clean':
      console.log('audit: no package has a known vulnerability of severity high or critical');
      return;
    case 'unavailable':
      console.error(`\n*** AUDIT UNAVAILABLE: nobody has looked for vulnerable packages (${lines.join('; ')}) ***\n`);
      return;
    case 'vulnerable':
      console.error(`audit: vulnerable packages, see \`npm audit --omit=dev\`\n${lines.join('\n')}`);
      process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) main();
