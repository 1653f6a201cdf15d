/** Whether a chat template, given its Jinja source, tells the model of tools. */
export function templateKnowsTools(source: string): boolean {
  return /\b(?:xml_)?tools\b/.test(source) || templateWantsFunctions(source);
}

/** Whether it wants them as a text `functions`, with the time as `datetime` besides: Firefunction. */
export function templateWantsFunctions(source: string): boolean {
  return /\+ functions\b/.test(source);
}
