/**
 * JSON Schema's formats as regular expressions. Each matches nothing that is not of the format, and most of what is:
 * no leap days, no leap seconds, no comments in addresses.
 *
 * Loops without an upper bound where there may be one: each repetition that is counted is a state more of the grammar.
 */
const DAY = '(?:0[1-9]|1\\d|2[0-8])';
const DATE = `\\d{4}-(?:(?:0[1-9]|1[0-2])-${DAY}|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)`;
const TIME = '(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-](?:0\\d|1[0-3]):[0-5]\\d)';
const LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,14}[a-zA-Z0-9])?';
const BYTE = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const HEX = '[0-9a-fA-F]';
const AMOUNT = '\\d{1,9}';
const CLOCK = `T(?:${AMOUNT}H(?:${AMOUNT}M(?:${AMOUNT}S)?)?|${AMOUNT}M(?:${AMOUNT}S)?|${AMOUNT}S)`;
const CALENDAR = `(?:${AMOUNT}Y(?:${AMOUNT}M(?:${AMOUNT}D)?)?|${AMOUNT}M(?:${AMOUNT}D)?|${AMOUNT}D)`;

export const FORMATS: Readonly<Record<string, string>> = {
  date: DATE,
  time: TIME,
  'date-time': `(?:${DATE})T${TIME}`,
  duration: `P(?:${CALENDAR}(?:${CLOCK})?|${CLOCK}|${AMOUNT}W)`,
  email: `[a-zA-Z0-9_%+-]+(?:\\.[a-zA-Z0-9_%+-]+)*@${LABEL}(?:\\.${LABEL})+`,
  hostname: `${LABEL}(?:\\.${LABEL}){0,4}`,
  ipv4: `(?:${BYTE}\\.){3}${BYTE}`,
  ipv6: `(?:${HEX}{1,4}:){7}${HEX}{1,4}|(?:${HEX}{1,4}:){1,6}:${HEX}{1,4}|::(?:${HEX}{1,4}:){0,5}${HEX}{1,4}`,
  uuid: `${HEX}{8}-${HEX}{4}-${HEX}{4}-${HEX}{4}-${HEX}{12}`,
  uri: `[a-z][a-z0-9+.-]*://${LABEL}(?:\\.${LABEL})*(?::[1-9]\\d{0,3})?(?:/[\\w.~-]*)*(?:\\?[\\w.~=&-]*)?(?:#[\\w.~-]*)?`,
};
