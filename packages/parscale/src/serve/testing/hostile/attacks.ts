/** Hostile clients, each made of a seed and a number, so that one that does harm can be sent again alone. */
import { createRandom, type Random } from '@parscale/core/internal'
import { mutatedBody, pick, postPaths, rightBody } from './bodies.ts'
import { type Exchange, requestText, Wire, wait } from './wire.ts'

export interface Attack {
  readonly name: string
  readonly method: string
  readonly path: string
  /** What came back; a client that left sees nothing. */
  run(port: number): Promise<Exchange['answers']>
}

type Kind = (random: Random) => Attack

const json = (body: unknown): string => JSON.stringify(body)

/** Sends a text, and reads the answer. */
const exchange =
  (text: string | Uint8Array, count = 1) =>
  async (port: number) => {
    const wire = await Wire.open(port)
    await wire.send(text)
    return await wire.answers(count)
  }

const post = (name: string, path: string, run: Attack['run']): Attack => ({ name, method: 'post', path, run })

const mutated: Kind = (random) => {
  const path = pick(random, postPaths)
  return post('mutated body', path, exchange(requestText('POST', path, json(mutatedBody(random, path)))))
}

const right: Kind = (random) => {
  const path = pick(random, postPaths)
  return post('right body', path, exchange(requestText('POST', path, json(rightBody(random, path)))))
}

/** No JSON, or half of it. */
const broken: Kind = (random) => {
  const path = pick(random, postPaths)
  const text = json(rightBody(random, path))
  const at = random.below(text.length)
  const bodies = [
    text.slice(0, at),
    text.slice(0, at) + pick(random, ['}', '"', '\\', ',', '\u0000', 'NaN', '1e999', '\\ud800']) + text.slice(at),
    '[',
    '"',
    '',
    'null',
    '{"a":'.repeat(30_000),
    `[${'1,'.repeat(100_000)}1]`,
    `{${'"a":1,'.repeat(50_000)}"a":1}`,
    `"${'\\u0041'.repeat(50_000)}"`,
  ]
  return post('broken body', path, exchange(requestText('POST', path, pick(random, bodies))))
}

/** Bytes that are not what the headers say. */
const encoded: Kind = (random) => {
  const path = pick(random, postPaths)
  const text = json(rightBody(random, path))
  const body = pick(random, [
    Buffer.from(text, 'utf16le'),
    Buffer.from(`\ufeff${text}`),
    Buffer.from([0xff, 0xfe, 0xc0, 0x80, 0xed, 0xa0, 0x80]),
    Buffer.from(text.replace('model', 'mod\u00ff'), 'latin1'),
    Buffer.from(text),
  ])
  const headers = pick<Record<string, string>>(random, [
    { 'content-type': 'application/json; charset=utf-16' },
    { 'content-type': 'application/json', 'content-encoding': 'gzip' },
    { 'content-type': 'text/plain' },
    { 'content-type': 'multipart/form-data; boundary=x' },
    { 'content-type': 'application/json', 'content-length': String(body.length + 7) },
    { 'content-type': 'application/json', 'content-length': String(Math.max(0, body.length - 7)) },
    { 'content-type': 'application/json', 'content-length': '99999999999' },
    { 'content-type': 'application/json', 'content-length': '-1' },
    { 'content-type': 'application/json', 'content-length': '1e3' },
    { 'content-type': 'application/json', expect: '100-continue' },
    { 'content-type': 'application/json', expect: 'the-impossible' },
  ])
  const head = requestText('POST', path, '', { 'content-length': String(body.length), ...headers })
  return post('wrong encoding', path, async (port) => {
    const wire = await Wire.open(port)
    await wire.send(Buffer.concat([Buffer.from(head), body]))
    wire.socket.end()
    return await wire.answers(1)
  })
}

const chunked: Kind = (random) => {
  const path = pick(random, postPaths)
  const text = json(rightBody(random, path))
  const chunk = (data: string) => `${Buffer.byteLength(data).toString(16)}\r\n${data}\r\n`
  const body = pick(random, [
    `${chunk(text)}0\r\n\r\n`,
    `${[...text].map(chunk).join('')}0\r\n\r\n`,
    `${chunk(text)}`,
    `zz\r\n${text}\r\n0\r\n\r\n`,
    `ffffffffffffffff\r\n${text}`,
    `5;${'x'.repeat(20_000)}\r\nabcde\r\n0\r\n\r\n`,
    `0\r\n${'x: y\r\n'.repeat(300)}\r\n`,
  ])
  const headers = {
    'content-type': 'application/json',
    'transfer-encoding': pick(random, ['chunked', 'chunked, chunked', 'gzip, chunked', 'identity']),
    ...(random.below(3) === 0 && { 'content-length': '5' }),
  }
  const lines = Object.entries({ host: 'localhost', ...headers }).map(([name, value]) => `${name}: ${value}`)
  return post('chunks', path, async (port) => {
    const wire = await Wire.open(port)
    await wire.send(`POST ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`)
    wire.socket.end()
    return await wire.answers(1)
  })
}

/** What is wrong stands before the body. */
const heads: Kind = (random) => {
  const name = `x-${random.below(100)}`
  const text = pick(random, [
    `GET /health HTTP/1.1\r\nhost: localhost\r\n${`${name}: y\r\n`.repeat(3000)}\r\n`,
    `GET /health HTTP/1.1\r\nhost: localhost\r\n${name}: ${'y'.repeat(50_000)}\r\n\r\n`,
    `GET /${'a'.repeat(60_000)} HTTP/1.1\r\nhost: localhost\r\n\r\n`,
    `GET /health HTTP/1.1\r\nhost: localhost\r\nbad header\r\n\r\n`,
    `GET /health HTTP/1.1\r\nhost: localhost\r\n${name}: a\u0000b\r\n\r\n`,
    `GET /health HTTP/1.1\r\n\r\n`,
    `GET /health HTTP/1.1\r\nhost: evil.example\r\n\r\n`,
    `GET /health HTTP/1.1\r\nhost: a b\r\n\r\n`,
    `GET /health HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n`,
    `GET http://elsewhere/health HTTP/1.1\r\nhost: localhost\r\n\r\n`,
    `GET /health HTTP/9.9\r\nhost: localhost\r\n\r\n`,
    `GET /health\r\n\r\n`,
    `HELLO /health HTTP/1.1\r\nhost: localhost\r\n\r\n`,
    `CONNECT localhost:1 HTTP/1.1\r\nhost: localhost\r\n\r\n`,
    `GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`,
    `GET /v1/models HTTP/1.1\r\nhost: localhost\r\nauthorization: ${'Bearer '.repeat(3000)}\r\n\r\n`,
    `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`,
    `OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n`,
    `TRACE /health HTTP/1.1\r\nhost: localhost\r\n\r\n`,
    '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003',
  ])
  return {
    ...{ name: 'head', method: '', path: '' },
    async run(port) {
      const wire = await Wire.open(port)
      await wire.send(text)
      wire.socket.end()
      return await wire.answers(1)
    },
  }
}

const places: Kind = (random) => {
  const path = pick(random, [
    ...['/', '/v1', '/v1/models', '/v1/models/small', '/v1/models/small:p2', '/v1/models/small:p99', '/metrics', '/openapi.json'],
    ...['/v1/models/%00', '/v1/models/%ff%fe', '/v1/models/..%2f..%2fetc', '/v1/models/a/b/c', '/v1/models/%E6%BC%A2', '/%'],
    ...[
      '/tokenizer_info',
      '/tokenizer_info?model=none',
      `/tokenizer_info?model=${'x'.repeat(5000)}`,
      '/tokenizer_info?model=%E0%A4%A',
    ],
    ...['//health', '/health/', '/health?x', '/HEALTH', '/v1/../health', '/v1/models/__proto__', '/models/unload', '/.env'],
  ])
  const method = pick(random, ['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'POST'])
  return {
    ...{ name: 'place', method: method.toLowerCase(), path },
    async run(port) {
      const wire = await Wire.open(port)
      await wire.send(requestText(method, path, method === 'POST' ? '{}' : ''))
      wire.socket.end()
      return await wire.answers(1, method !== 'HEAD')
    },
  }
}

/** Many requests at once on one connection. */
const pipelined: Kind = (random) => {
  const path = pick(random, postPaths)
  const count = 2 + random.below(12)
  const texts = Array.from({ length: count }, () => requestText('POST', path, json(mutatedBody(random, path))))
  return post('pipelined', path, exchange(texts.join(''), count))
}

/** A request that does not come to its end, or slowly; the server may wait for a while. */
const halfSent: Kind = (random) => {
  const path = pick(random, postPaths)
  const text = requestText('POST', path, json(rightBody(random, path)))
  const at = random.below(text.length)
  const ms = random.below(300)
  return post('half sent', path, async (port) => {
    const wire = await Wire.open(port)
    await wire.send(text.slice(0, at))
    await wait(ms)
    if (ms % 2 === 0) wire.socket.resetAndDestroy()
    else wire.socket.destroy()
    return []
  })
}

const slowBody: Kind = (random) => {
  const path = pick(random, postPaths)
  const text = requestText('POST', path, json(rightBody(random, path)))
  const pieces = 3 + random.below(5)
  return post('slow body', path, async (port) => {
    const wire = await Wire.open(port)
    for (let i = 0; i < pieces; i++) {
      await wire.send(text.slice((i * text.length) / pieces, ((i + 1) * text.length) / pieces))
      await wait(30)
    }
    return await wire.answers(1)
  })
}

const streamBody = (random: Random, path: string) => ({
  ...rightBody(random, path),
  stream: true,
  max_tokens: 30,
  max_output_tokens: 30,
})
const streamPaths = ['/v1/chat/completions', '/v1/completions', '/v1/responses']

/** Asks for a stream, and does not read it for a while, or never. */
const slowReader: Kind = (random) => {
  const path = pick(random, streamPaths)
  const text = requestText('POST', path, json(streamBody(random, path)))
  const [ms, reads] = [50 + random.below(300), random.below(2) === 0]
  return post('slow reader', path, async (port) => {
    const wire = await Wire.open(port)
    wire.socket.pause()
    await wire.send(text)
    await wait(ms)
    if (reads) {
      wire.socket.resume()
      return await wire.answers(1)
    }
    wire.socket.destroy()
    return []
  })
}

/** Leaves at any moment: in the head, the body, the prompt, the answer. */
const leaver: Kind = (random) => {
  const path = pick(random, streamPaths)
  const text = requestText('POST', path, json(streamBody(random, path)))
  const [ms, how] = [random.below(150), random.below(2)]
  return post('leaver', path, async (port) => {
    const wire = await Wire.open(port)
    await wire.send(text)
    await wait(ms)
    if (how === 0) wire.socket.resetAndDestroy()
    else wire.socket.destroy()
    return []
  })
}

/** Says that it sends no more, and still wants its answer. */
const halfClosed: Kind = (random) => {
  const path = pick(random, postPaths)
  const text = requestText('POST', path, json(rightBody(random, path)))
  return post('half closed', path, async (port) => {
    const wire = await Wire.open(port)
    await wire.send(text)
    wire.socket.end()
    const answers = await wire.answers(1)
    if (answers.length === 0) throw new Error('no answer came')
    return answers
  })
}

/** How often each comes. */
const kinds: readonly (readonly [weight: number, kind: Kind])[] = [
  [30, mutated],
  [6, right],
  [10, broken],
  [8, encoded],
  [6, chunked],
  [8, heads],
  [8, places],
  [4, pipelined],
  [6, halfSent],
  [2, slowBody],
  [3, slowReader],
  [6, leaver],
  [3, halfClosed],
]
const weights = kinds.reduce((sum, [weight]) => sum + weight, 0)

export function attackOf(seed: number, number: number): Attack {
  const random = createRandom(seed * 2 ** 24 + number)
  let at = random.below(weights)
  for (const [weight, kind] of kinds) {
    if (at < weight) return kind(random)
    at -= weight
  }
  throw new Error('weights are summed up wrongly')
}
