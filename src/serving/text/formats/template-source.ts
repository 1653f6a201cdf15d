/** Whether a chat template, given its Jinja source, tells the model of tools. Firefunction's calls them `functions`. */
export function templateKnowsTools(source: string): boolean {
  return /\b(?:xml_)?tools\b|\+ functions\b/.test(source);
}
