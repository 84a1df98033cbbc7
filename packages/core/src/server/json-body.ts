/** Bodies as values. What would hold up the requests of others for long is refused before it is read. */
import { ApiError, invalid } from './errors.ts'

/** Levels of lists and objects in one another. Deeper ones overflow the stack of what walks them. */
const mostLevels = 512
/** Values of a body: some tenths of a second go into the checks of so many. */
const mostValues = 2 ** 18

/**
 * @param reserve told of bytes as they come; may refuse them
 * @throws invalid request for what is larger than `mostBytes`, no JSON, too nested, or too many values
 */
export async function readJson(
  request: Request,
  mostBytes: number,
  reserve: (bytes: number) => void = () => {},
): Promise<unknown> {
  mustNotBeForm(request.headers)
  mustBePlain(request.headers)
  let bytes: Uint8Array
  let text: string
  try {
    bytes = await readBytes(request, mostBytes, reserve)
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    if (error instanceof ApiError) throw error
    throw invalid('the body is not valid UTF-8, or ended early', undefined, 'invalid_body')
  }
  const [code, problem] = excessOf(bytes) ?? []
  if (code) throw invalid(`the body has ${problem}`, undefined, code)
  try {
    return JSON.parse(text)
  } catch (error) {
    throw invalid(`the body is not valid JSON: ${(error as Error).message.slice(0, 300)}`, undefined, 'invalid_json')
  }
}

/**
 * A page of another site may send a form or plain text without asking us first, and nothing else. `curl -d` says that it sends a form
 * as well, and means JSON. Only browsers say where a request comes from; old ones need not (Firefox before 70, Internet Explorer), but
 * all have names that begin alike, which no page can change.
 */
function mustNotBeForm(headers: Headers): void {
  const type = headers.get('content-type') ?? ''
  const fromPage =
    ['origin', 'referer', 'sec-fetch-site'].some((name) => headers.has(name)) ||
    /^(?:Mozilla|Opera)\//.test(headers.get('user-agent') ?? '')
  if (!fromPage || /^application\/(?:[\w.+-]+\+)?json\b/i.test(type)) return
  const said = `the header content-type must be application/json where a page sends the request, got ${JSON.stringify(type.slice(0, 100))}`
  throw new ApiError(415, 'invalid_request_error', `${said}; set it: headers: { 'content-type': 'application/json' }`, {
    code: 'unsupported_media_type',
  })
}

/** Clients that compress what they send are rare, and a small body that grows to any size is a known attack. */
function mustBePlain(headers: Headers): void {
  const coding = headers.get('content-encoding') ?? 'identity'
  if (coding.toLowerCase() === 'identity') return
  throw new ApiError(
    415,
    'invalid_request_error',
    `a body with content-encoding ${JSON.stringify(coding.slice(0, 40))} is not read; send it uncompressed`,
    { code: 'unsupported_content_encoding' },
  )
}

/** The length may be told beforehand, and need not be. */
async function readBytes(request: Request, most: number, reserve: (bytes: number) => void): Promise<Uint8Array> {
  const tooLarge = () =>
    new ApiError(413, 'invalid_request_error', `the body is larger than ${most} bytes`, { code: 'body_too_large' })
  if (Number(request.headers.get('content-length') ?? 0) > most) throw tooLarge()
  // One buffer that grows: pieces may be of a byte each.
  let bytes = new Uint8Array(2 ** 14)
  let size = 0
  const reader = request.body?.getReader()
  for (let next = await reader?.read(); next && !next.done; next = await reader!.read()) {
    const { value } = next
    try {
      if (size + value.length > most) throw tooLarge()
      reserve(value.length)
    } catch (error) {
      await reader!.cancel()
      throw error
    }
    if (size + value.length > bytes.length) {
      const grown = new Uint8Array(Math.max(size + value.length, 2 * bytes.length))
      grown.set(bytes.subarray(0, size))
      bytes = grown
    }
    bytes.set(value, size)
    size += value.length
  }
  return bytes.subarray(0, size)
}

/** A text that a request brings as a value of a template: undefined where it is no JSON, or would be refused as a body. */
export function parsedText(text: string): unknown {
  if (excessOf(new TextEncoder().encode(text))) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Of what a JSON text has too much, with the code of the error. Counts brackets and commas outside texts. */
function excessOf(json: Uint8Array): [code: string, problem: string] | undefined {
  let [level, values] = [0, 0]
  for (let i = 0; i < json.length; i++) {
    switch (json[i]) {
      case 0x22: // "
        for (i++; i < json.length && json[i] !== 0x22; i++) if (json[i] === 0x5c) i++
        continue
      case 0x5b: // [
      case 0x7b: // {
        if (++level > mostLevels) return ['body_too_nested', `more than ${mostLevels} lists and objects in one another`]
        values++
        break
      case 0x5d: // ]
      case 0x7d: // }
        level--
        continue
      case 0x2c: // ,
        values++
        break
      default:
        continue
    }
    if (values > mostValues) return ['body_too_many_values', `more than ${mostValues} values; send it in parts`]
  }
  return undefined
}
