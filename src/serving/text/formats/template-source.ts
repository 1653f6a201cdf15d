/** Whether a chat template, given its Jinja source, tells the model of tools. */
export function templateKnowsTools(source: string): boolean {
  return /\b(?:xml_)?tools\b/.test(source);
}
