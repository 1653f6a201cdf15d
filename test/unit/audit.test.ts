import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
// @ts-expect-error plain JavaScript, which runs before anything is compiled
import { readAudit } from '../../scripts/audit.mjs';

const report = (vulnerabilities: object, counts: object) =>
  JSON.stringify({ auditReportVersion: 2, vulnerabilities, metadata: { vulnerabilities: counts } });

describe('the audit of packages', () => {
  it('names what is vulnerable', () => {
    const packages = {
      hono: { name: 'hono', severity: 'critical', range: '<4' },
      zod: { name: 'zod', severity: 'low', range: '*' },
    };
    expect(readAudit(report(packages, { critical: 1, low: 1 }))).toEqual({
      outcome: 'vulnerable',
      lines: ['critical: hono <4'],
    });
    expect(readAudit(report({}, { high: 2 })).outcome).toBe('vulnerable');
  });

  it('is clean with lesser findings or none', () => {
    expect(readAudit(report({ zod: { name: 'zod', severity: 'moderate' } }, { moderate: 1 })).outcome).toBe('clean');
    expect(readAudit(report({}, { high: 0, critical: 0 })).outcome).toBe('clean');
  });

  it.each([
    '',
    'null',
    '[]',
    '{"error":{"code":"ENOAUDIT","summary":"no such endpoint"}}',
    '{"message":"404 Not Found - POST","error":{"summary":"","detail":""}}',
  ])('does not take %j for a clean bill', (json) => {
    expect(readAudit(json).outcome).toBe('unavailable');
  });

  it('is a part of CI', () => {
    expect(readFileSync(new URL('../../.ci/run', import.meta.url), 'utf8')).toMatch(/^node scripts\/audit\.mjs$/m);
  });
});
