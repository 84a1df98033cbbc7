import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { code, codeBlock, oneLine, plain, quoted } from './markdown.ts'
import { modelCard } from './model-card.ts'
import { nastyTexts, runSummary } from './testing/run-summary.ts'

const text = fc.oneof(
  fc.constantFrom(...nastyTexts),
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.stringMatching(/^[`\\|\n -]{0,9}$/),
)
const always = (check: (text: string) => void) => {
  const property = fc.property(text, (each) => {
    check(each)
  })
  fc.assert(property, { seed: 4, numRuns: 500 })
}

/** Lone surrogates are no text; files cannot hold them. */
const wellFormed = (string: string) => string.replace(/\p{Surrogate}/gu, '\ufffd')

it('says what was done', () => {
  expect(modelCard(runSummary('hello'))).toMatchInlineSnapshot(`
    "---
    library_name: "parscale"
    license: "hello"
    language:
      - "en"
    pipeline_tag: "text-generation"
    tags:
      - "parscale"
      - "text-generation"
      - "recycle"
    datasets:
      - "hello"
    model-index:
      -
        name: "hello"
        results:
          -
            task:
              type: "text-generation"
              name: "Next-token prediction"
            dataset:
              name: "held out of hello, hello/more"
              type: "hello"
            metrics:
              -
                type: "loss"
                name: "nats a token, P = 1"
                value: 3.25
              -
                type: "perplexity"
                name: "perplexity, P = 1"
                value: 25.790339917193062
          -
            task:
              type: "text-generation"
              name: "Next-token prediction"
            dataset:
              name: "held out of hello, hello/more"
              type: "hello"
            metrics:
              -
                type: "loss"
                name: "nats a token, P = 4"
                value: 3.125
              -
                type: "perplexity"
                name: "perplexity, P = 4"
                value: 22.75989509352673
          -
            task:
              type: "text-generation"
              name: "Next-token prediction"
            dataset:
              name: "hello"
              type: "text"
            metrics:
              -
                type: "loss"
                name: "nats a token, P = 4"
                value: 2.5
              -
                type: "perplexity"
                name: "perplexity, P = 4"
                value: 12.182493960703473
          -
            task:
              type: "text-generation"
              name: "hello"
            dataset:
              name: "hello"
              type: "hello"
              config: "hello"
              split: "test"
              revision: "hello"
            metrics:
              -
                type: "acc"
                name: "acc, hello, 3-shot, P = 4"
                value: 0.375
    ---

    # hello

    A language model with parallel streams ([ParScale](https://arxiv.org/abs/2505.10475)), trained from \` hello \` (frozen) with the recipe \` recycle \` of parscale 0\\.1\\.0. It has 134,515,008 parameters, and 812,345 for 4 parallel streams; P can be 1, 2, 4. Backbone (SHA-256): \` abababababababababababababababababababababababababababababababab \`.

    ## Use

    This folder holds streams only; they run on the backbone that they were trained on, and on no other.

    \`\`\`sh
    npx parscale generate hello --stream-set . --p 4 --prompt "Once upon a time"
    \`\`\`

    ## Results

    | data | P | loss, nats a token | 95 % interval | perplexity | tokens |
    | --- | ---: | ---: | ---: | ---: | ---: |
    | held out of the data below | 1 | 3.2500 |  | 25.79 | 155,867 |
    | held out of the data below | 4 | 3.1250 | 3.1000 to 3.1500 | 22.76 | 155,867 |
    | hello | 4 | 2.5000 |  | 12.18 | 15,644 |

    | task | P | metric | filter | examples | value | standard error | questions |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | hello | 4 | acc ↑ | hello | 3 | 0.3750 | 0.1250 | 16 |

    ## Training

    \`\`\`sh
    parscale train recycle --data hello
    \`\`\`

    | stage | P | steps | tokens | trained | schedule | learning rate |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: |
    | 1 | 4 | 1,000 | 2,048,000 | streams | cosine | 0.001 to 0.00001 |

    2,048,000 tokens in 84 minutes on hello.

    \`\`\`
    seed = 0
    streams.smoothing = 0.1
    sample.prompt = "hello"
    optimizer.skipSpikes = null
    \`\`\`

    ## Data

    - \` hello \`
    - \` hello/more \`

    hello

    369 documents, 11,955,571 bytes of text: 2,257,856 tokens to train on, 155,867 held out, by whole documents. A document that was there twice was taken once, so none is on both sides.

    ## Limits

    - It knows what 2,048,000 tokens of the data above (and its base, if it has one) can teach. It was not tuned to be helpful, truthful or harmless unless the recipe says so, and repeats what its data say.
    - Losses are means over held-out documents of the same sources; other text was not measured unless it is listed.
    - hello
    "
  `)
})

it('leaves out what is not known', () => {
  const { licence: _, base: __, ...rest } = runSummary('x')
  const card = modelCard({ ...rest, results: [], tasks: [], streamsOnly: false, p: [1], parameters: { backbone: 7, streams: 0 } })
  expect(card).not.toMatch(/license|base_model|model-index|undefined|NaN|Infinity/)
  expect(card).toContain('trained from scratch')
  expect(card).toContain('It has 7 parameters; P can be 1.')
  expect(card).toContain('Not measured')
})

it('names a base on the hub, and no other', () => {
  const { base, ...rest } = runSummary('x')
  const card = (name: string) => modelCard({ ...rest, base: { ...base!, name } })
  expect(card('Qwen/Qwen2.5-3B')).toContain('\nbase_model: "Qwen/Qwen2.5-3B"\n')
  for (const path of ['../Qwen', 'models/a/b', '/abs/x', 'x.gguf', 'a/b\nc']) expect(card(path)).not.toContain('base_model')
})

describe('whatever the texts', () => {
  it('the front matter keeps its shape', () => {
    const shape = (card: string) => {
      const [, front] = /^---\n([\s\S]*?\n)---\n/.exec(card)!
      return front!.replace(/"(?:[^"\\]|\\.)*"/g, '""').replace('base_model: ""\n', '')
    }
    const expected = shape(modelCard(runSummary('hello')))
    always((string) => expect(shape(modelCard(runSummary(string)))).toBe(expected))
  })

  it('the front matter says what the summary says', () => {
    always((string) => {
      const summary = runSummary(string)
      const [, front] = /^---\n([\s\S]*?\n)---\n/.exec(modelCard(summary))!
      const words = wellFormed(string)
      const task = { type: 'text-generation', name: 'Next-token prediction' }
      const heldOut = { name: `held out of ${words}, ${words}/more`, type: words || 'text' }
      expect(parse(front!)).toEqual({
        library_name: 'parscale',
        license: words,
        language: ['en'],
        pipeline_tag: 'text-generation',
        tags: ['parscale', 'text-generation', 'recycle'],
        ...(front!.includes('\nbase_model: ') && { base_model: words }),
        datasets: [words],
        'model-index': [
          {
            name: words,
            results: [
              ...summary.results.map(({ p, loss, data }) => ({
                task,
                dataset: data === undefined ? heldOut : { name: words, type: 'text' },
                metrics: [
                  { type: 'loss', name: `nats a token, P = ${p}`, value: loss },
                  { type: 'perplexity', name: `perplexity, P = ${p}`, value: Math.exp(loss) },
                ],
              })),
              {
                task: { type: 'text-generation', name: words },
                dataset: { name: words, type: words, config: words, split: 'test', revision: words },
                metrics: [{ type: 'acc', name: `acc${words === 'none' ? '' : `, ${words}`}, 3-shot, P = 4`, value: 0.375 }],
              },
            ],
          },
        ],
      })
    })
  })

  it('the body keeps its headings', () => {
    const headings = (card: string) => card.match(/^##? .*$/gm)!.slice(1)
    const expected = headings(modelCard(runSummary('hello')))
    expect(expected).toEqual(['## Use', '## Results', '## Training', '## Data', '## Limits'])
    // Those within fences are no headings; fences are judged below.
    const withoutFences = (card: string) => card.replace(/^(`{3,})\w*\n[\s\S]*?\n\1$/gm, '')
    always((string) => expect(headings(withoutFences(modelCard(runSummary(string))))).toEqual(expected))
  })

  it('no control characters come through but line ends', () => {
    always((string) => expect(modelCard(runSummary(string))).not.toMatch(/(?!\n)\p{Cc}|[\u2028\u2029]|\p{Surrogate}/u))
  })

  it('a YAML string is read back', () => {
    always((string) => {
      const scalar = quoted(string)
      expect(scalar).toMatch(/^".*"$/)
      expect(JSON.parse(scalar)).toBe(wellFormed(string))
      expect(parse(scalar)).toBe(wellFormed(string))
    })
  })

  it('a code span ends where it should (CommonMark 6.1)', () => {
    always((string) => {
      const span = code(string)
      if (oneLine(string) === '') return expect(span).toBe('(empty)')
      const [, fence, content] = /^(`+) (.*) \1$/.exec(span)!
      expect(content).toBe(oneLine(string))
      expect(content!.match(/`+/g) ?? []).not.toContain(fence)
    })
  })

  it('a code block ends where it should (CommonMark 4.5)', () => {
    always((string) => {
      const [opening, ...lines] = codeBlock(string).split('\n')
      expect(lines.pop()).toBe(opening)
      expect(lines.filter((line) => new RegExp(`^ {0,3}${opening}`).test(line))).toEqual([])
    })
  })

  it('running text has no markup', () => {
    always((string) => {
      const escaped = plain(string)
      expect(escaped.replace(/\\[!-/:-@[-`{-~]/g, '')).not.toMatch(/[!-/:-@[-`{-~]|\n/)
      expect(escaped.replace(/\\([!-/:-@[-`{-~])/g, '$1')).toBe(oneLine(string))
    })
  })
})
