/**
 * Formats as patterns. Each is at most what its RFC allows, so that any checker calls it valid; formats that no draft of JSON
 * schema defines are annotations and say nothing.
 */
const date =
  '(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)'
const clock = '(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?'
const zone = '(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])'
const label = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?'
const octet = '(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
const ipv4 = `${octet}(?:\\.${octet}){3}`
const group = '[0-9A-Fa-f]{1,4}'
const ipv6 = [
  `(?:${group}:){7}${group}`,
  `(?:${group}:){6}${ipv4}`,
  ...Array.from({ length: 8 }, (_, before) => {
    const head = before === 0 ? '' : `${group}(?::${group}){${before - 1}}`
    const most = 7 - before
    return most === 0 ? `${head}::` : `${head}::(?:${group}(?::${group}){0,${most - 1}})?`
  }),
].join('|')
const percent = '%[0-9A-Fa-f]{2}'
const unreserved = "A-Za-z0-9._~!$&'()*+,;="
const character = (more: string): string => `(?:[${unreserved}${more}-]|${percent})`
const authority = `(?:${character(':')}*@)?(?:\\[(?:${ipv6})\\]|${character('')}+)(?::[0-9]{1,5})?`
const path = `(?:/${character(':@')}*)*`
const rest = `(?:\\?${character(':@/?')}*)?(?:#${character(':@/?')}*)?`
const scheme = '[A-Za-z][A-Za-z0-9+.-]*:'
const uri = `${scheme}(?://${authority}${path}|/(?:${character(':@')}+${path})?|${character(':@')}+${path})${rest}`
const reference = `(?:${scheme}(?://${authority}${path}|/(?:${character(':@')}+${path})?|${character(':@')}+${path})|//${authority}${path}|/(?:${character(':@')}+${path})?|${character('@')}+${path}|)${rest}`
const time = (designators: readonly string[]): string =>
  `(?:${designators
    .map((_, i) =>
      designators
        .slice(i)
        .map((letter, j) => (j === 0 ? `[0-9]+${letter}` : `(?:[0-9]+${letter})?`))
        .join(''),
    )
    .join('|')})`

export const formats: Readonly<Record<string, string>> = {
  date,
  time: `${clock}${zone}`,
  'date-time': `${date}[Tt]${clock}${zone}`,
  duration: `P(?:[0-9]+W|${time(['Y', 'M', 'D'])}(?:T${time(['H', 'M', 'S'])})?|T${time(['H', 'M', 'S'])})`,
  email: `[A-Za-z0-9!#$%&'*+/=?^_\`{|}~-]+(?:\\.[A-Za-z0-9!#$%&'*+/=?^_\`{|}~-]+)*@${label}(?:\\.${label})+`,
  hostname: `${label}(?:\\.${label}){0,3}`,
  ipv4,
  ipv6: `(?:${ipv6})`,
  uuid: '[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}',
  uri,
  'uri-reference': reference,
  'json-pointer': '(?:/(?:[^~/]|~0|~1)*)*',
}

/** Formats that the drafts define, which we have no pattern for. */
export const unsupportedFormats: ReadonlySet<string> = new Set([
  'idn-email',
  'idn-hostname',
  'iri',
  'iri-reference',
  'uri-template',
  'relative-json-pointer',
  'regex',
])
