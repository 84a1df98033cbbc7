/** Schemas from the wild: what the masks allow is what ajv calls valid, by bytes and by tokens. */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { checkSchema, type SchemaCase } from './testing/check-schema.ts'
import { small } from './testing/small.ts'

const file = new URL('../../../../../fixtures/schemas/sample.jsonl', import.meta.url)
const cases = readFileSync(file, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as SchemaCase)

it('accepts valid instances, refuses invalid ones, and random texts are valid', async () => {
  const made = await small(cases.flatMap(({ tests }) => tests.map(({ data }) => JSON.stringify(data))))
  const reports = cases.map((each, i) => ({ name: each.name, ...checkSchema(each, { ...made, walks: 1, seed: i }) }))
  expect(reports.flatMap(({ name, wrong }) => wrong.map((fault) => `${name}: ${fault}`))).toEqual([])
  const supported = reports.filter(({ refused }) => refused === undefined)
  expect(supported.length / reports.length).toBeGreaterThan(0.76)
  // What is not supported is refused with the place of the keyword, or what is too large.
  for (const { refused } of reports) if (refused) expect(refused).toMatch(/^(#|tools|the schema|a value|oneOf)/)
  expect(supported.some(({ valid }) => valid > 0) && supported.some(({ invalid }) => invalid > 0)).toBe(true)
})
