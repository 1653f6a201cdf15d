import type { Random } from '../random.js';

/** Bytes that a client writes to a socket, and what is wrong with them. */
export interface HostileBytes {
  name: string;
  bytes: Buffer;
}

const BODY = '{"prompt":"Hi","max_tokens":1}';
const POST = 'POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n';
/** A second request that is meant to be taken for the body of the first, or the other way round. */
const SMUGGLED = 'GET /v1/models HTTP/1.1\r\nHost: b\r\nX: ';

const METHODS = [
  'GET',
  'POST',
  'PUT',
  'DELETE',
  'PATCH',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'CONNECT',
  'PROPFIND',
  'get',
  'G\0T',
  '',
  'A'.repeat(200),
];
const TARGETS = [
  ...[
    '/',
    '/v1/models',
    '/v1/chat/completions',
    '/health',
    '/metrics',
    '/openapi.json',
    '/docs',
    '*',
    'http://other/v1/models',
  ],
  ...[
    '//',
    '/../../../etc/passwd',
    '/..%2f..%2fetc%2fpasswd',
    '/%',
    '/%ff',
    '/%c0%ae%c0%ae/',
    '/%00',
    '/\0',
    '/\u00e9',
    '/a b',
    '/\\x',
  ],
  ...[
    '/?%',
    `/?${'a=b&'.repeat(2_000)}`,
    `/${'a'.repeat(20_000)}`,
    `/${'a/'.repeat(5_000)}`,
    '?',
    '#',
    'x',
    'a:b',
    'http://',
    '/v1/models/%2e%2e',
    '/v1/responses/__proto__',
  ],
];
const VERSIONS = [
  'HTTP/1.1',
  'HTTP/1.0',
  'HTTP/0.9',
  'HTTP/2.0',
  'HTTP/9.9',
  'HTTP/',
  'http/1.1',
  '',
  'HTTP/1.1 HTTP/1.1',
];
const HEADERS = [
  ...[
    'Host: a',
    'Host: a\r\nHost: b',
    'Host: ',
    'Host: a b',
    'Host: [::1',
    'Host: a:99999',
    'Host: \u0000',
    'Host: x@y/z?q#f',
    `Host: ${'h'.repeat(5_000)}`,
  ],
  ...[
    'Content-Length: 5',
    'Content-Length: -1',
    'Content-Length: 5\r\nContent-Length: 6',
    'Content-Length: 99999999999999999999',
    'Content-Length: 0x10',
    'Content-Length: ',
    'Content-Length: 1e3',
  ],
  ...[
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: xchunked',
    'Transfer-Encoding: chunked, identity',
    'Transfer-Encoding:\x0bchunked',
    'Transfer-Encoding: gzip, chunked',
    'Transfer-Encoding : chunked',
  ],
  ...[
    'Content-Type: application/json; charset=utf-16',
    'Content-Type: multipart/form-data',
    'Content-Type: ',
    'Content-Encoding: gzip',
    'Content-Encoding: br',
  ],
  ...[
    'Connection: close',
    'Connection: Upgrade\r\nUpgrade: websocket',
    'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__',
    'Expect: 100-continue',
    'Expect: everything',
    'Keep-Alive: timeout=-1',
  ],
  ...[
    'Authorization: Bearer ',
    'Authorization: Basic \xff',
    'Cookie: a=b; __proto__=c',
    'Range: bytes=0-0,-1',
    'Origin: null',
    'Accept: */*;q=x',
    'If-None-Match: *',
  ],
  ...[
    'no colon',
    ': no name',
    'na me: x',
    'x:\r\n folded',
    'x: \0',
    'x: \r',
    '\u00fc: \u00fc',
    '__proto__: x',
    `x: ${'v'.repeat(20_000)}`,
    `${'n'.repeat(20_000)}: x`,
    'x: y\r\n'.repeat(3_000),
  ],
  ...[
    'X-Request-Id: a\u0001b',
    `X-Request-Id: ${'9'.repeat(4_000)}`,
    'X-Forwarded-For: 127.0.0.1',
    'Access-Control-Request-Method: POST',
    'x-api-key: \xff',
  ],
];
const CHUNKS = [
  ...[
    '0\r\n\r\n',
    '5\r\nhello\r\n0\r\n\r\n',
    'ffffffffffffffff\r\nx\r\n',
    '-1\r\nx\r\n',
    '0x5\r\nhello\r\n',
    '5\r\nhel',
    '5\nhello\n0\n\n',
    '5\r\nhelloworld\r\n0\r\n\r\n',
  ],
  ...[
    'g\r\n',
    '\r\n\r\n',
    `5;${'e'.repeat(20_000)}\r\nhello\r\n0\r\n\r\n`,
    '0\r\nTrailer: x\r\n\r\n',
    `0\r\n${'t: x\r\n'.repeat(5_000)}\r\n`,
    '1e\r\n{"prompt":"Hi","max_tokens":1}\r\n0\r\n\r\n',
  ],
];
const WHOLE = [
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  'GET /\r\n',
  '\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET / HTTP/1.1\nHost: a\n\n',
  'GET / HTTP/1.1\rHost: a\r\r',
  '\0'.repeat(1_000),
  '\u00ff'.repeat(100_000),
  'SSH-2.0-x\r\n',
  `${'GET /health HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(100)}`,
  `${POST}Content-Length: ${BODY.length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  `${POST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n1e\r\n${BODY}\r\n0\r\n\r\n`,
  `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  `${POST}Content-Length: ${BODY.length}\r\n\r\n${BODY}${SMUGGLED}`,
  `${POST}Content-Length: ${BODY.length + 50}\r\n\r\n${BODY}`,
  `${POST}Content-Length: 1\r\n\r\n${BODY}`,
  `GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
];

/** Something that is no HTTP, nearly HTTP, or HTTP that lies about itself. */
export function hostileBytes(random: Random): HostileBytes {
  const pick = <T>(list: readonly T[]): T => list[random.integer(0, list.length)]!;
  const some = <T>(list: readonly T[], most: number): T[] =>
    Array.from({ length: random.integer(0, most + 1) }, () => pick(list));
  const text = (name: string, value: string): HostileBytes => ({ name, bytes: Buffer.from(value, 'latin1') });
  switch (random.integer(0, 8)) {
    case 0:
      return text('whole', pick(WHOLE));
    case 1:
    case 2:
      return text(
        'line',
        `${pick(METHODS)} ${pick(TARGETS)} ${pick(VERSIONS)}\r\nHost: a\r\n${some(HEADERS, 2).join('\r\n')}\r\n\r\n`,
      );
    case 3:
      return text('target', `${pick(['GET', 'POST', 'DELETE'])} ${pick(TARGETS)} HTTP/1.1\r\nHost: a\r\n\r\n`);
    case 4:
      return text(
        'headers',
        `${POST}${[`Content-Length: ${BODY.length}`, ...some(HEADERS, 3)].join('\r\n')}\r\n\r\n${BODY}`,
      );
    case 5:
      return text('chunks', `${POST}Transfer-Encoding: chunked\r\n\r\n${some(CHUNKS, 3).join('')}`);
    case 6: {
      const bytes = Buffer.from(`${POST}Content-Length: ${BODY.length}\r\n\r\n${BODY}`);
      for (let i = random.integer(1, 5); i > 0; i--) bytes[random.integer(0, bytes.length)] = random.integer(0, 256);
      return { name: 'flipped bytes', bytes };
    }
    default: {
      const bytes = Buffer.from(`${POST}Content-Length: ${BODY.length}\r\n\r\n${BODY}`);
      return { name: 'cut off', bytes: bytes.subarray(0, random.integer(0, bytes.length)) };
    }
  }
}
