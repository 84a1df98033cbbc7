/**
 * Tasks for small models out of text that they were not trained on: whole pages (bits per byte), the last word of a sentence that is
 * known from its page, and the right ending among four. Documents are those that training holds out: by their content, whatever else was
 * trained on (training/data/split.ts, its default share and seed). Public domain: State of the Union, Moby-Dick, Gutenberg (fetch-text.mjs).
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { documentFiles, readDocuments } from '@parscale/core/internal/node'
import { createRandom, type Random } from '../packages/core/src/random.ts'
import { documentDigest } from '../packages/core/src/training/data/digest.ts'
import { heldOutSplit } from '../packages/core/src/training/data/split.ts'
import { fetchText } from './fetch-text.mjs'

export interface TextTask {
  readonly name: string
  readonly yaml: string
  readonly docs: readonly Readonly<Record<string, unknown>>[]
}

const kinds = ['text', 'books'] as const

/** @param most questions of a task */
export async function shippedTasks(most: number, split = { heldOutFraction: 0.05, heldOutSeed: 0 }): Promise<TextTask[]> {
  const tasks: TextTask[] = []
  for (const kind of kinds) {
    const texts = await heldOut(`${fetchText(kind)}/**/*.txt`, split)
    const random = createRandom(19)
    const pages = spread(
      texts.flatMap((text) => pagesOf(text)),
      most,
    )
    tasks.push(
      { name: `held_out_${kind}_pages`, yaml: pagesYaml, docs: pages.map((page) => ({ page })) },
      { name: `held_out_${kind}_words`, yaml: wordsYaml, docs: spread(texts.flatMap(lastWords), most) },
      {
        name: `held_out_${kind}_endings`,
        yaml: endingsYaml,
        docs: spread(
          texts.flatMap((text) => endingsOf(text, random)),
          most,
        ),
      },
    )
  }
  return tasks
}

/** Writes task files and data, and returns the files' paths. */
export function writeTasks(tasks: readonly TextTask[], folder: string): string[] {
  mkdirSync(folder, { recursive: true })
  return tasks.map(({ name, yaml, docs }) => {
    writeFileSync(join(folder, `${name}.jsonl`), docs.map((doc) => `${JSON.stringify(doc)}\n`).join(''))
    const path = join(folder, `${name}.yaml`)
    writeFileSync(
      path,
      `task: ${name}\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: ${name}.jsonl\ntest_split: test\n${yaml}`,
    )
    return path
  })
}

async function heldOut(pattern: string, { heldOutFraction, heldOutSeed }: { heldOutFraction: number; heldOutSeed: number }) {
  const isHeldOut = heldOutSplit({ heldOutFraction, seed: heldOutSeed })
  const texts: string[] = []
  for await (const document of readDocuments(await documentFiles([pattern])))
    if ('text' in document && isHeldOut(await documentDigest(document))) texts.push(document.text)
  return texts
}

const plain = (text: string): string => text.replace(/\s+/g, ' ').trim()

const sentencesOf = (text: string): string[] => plain(text).match(/[^.!?]+[.!?]+["')\]]*\s*/g) ?? []

/** Of about 700 characters, each beginning with a sentence. */
function pagesOf(text: string): string[] {
  const pages: string[] = []
  let page = ''
  for (const sentence of sentencesOf(text)) {
    page += sentence
    if (page.length < 700) continue
    pages.push(page.trim())
    page = ''
  }
  return pages
}

/** A page up to the last word of a sentence, where that word stands in the page already: what a reader of the page may know. */
function lastWords(text: string) {
  return pagesOf(text).flatMap((page) => {
    const found = /^(.*) (\p{L}{5,})[.!?]+["')\]]*$/su.exec(page)
    if (!found) return []
    const [, before, word] = found as unknown as [string, string, string]
    return before.toLowerCase().includes(word.toLowerCase()) ? [{ before, word }] : []
  })
}

/** A page in which a sentence breaks off, its own ending and three of other sentences of the document, as long in words. */
function endingsOf(text: string, random: Random) {
  const words = 8
  const endings = sentencesOf(text).flatMap((sentence) => {
    const parts = sentence.trim().split(' ')
    return parts.length >= 2 * words ? [parts.slice(-words).join(' ')] : []
  })
  return pagesOf(text).flatMap((page) => {
    const parts = page.split(' ')
    const right = parts.slice(-words).join(' ')
    const others = [...new Set(endings.filter((each) => each !== right))]
    if (!endings.includes(right) || others.length < 3) return []
    const wrong = Array.from({ length: 3 }, () => others.splice(random.below(others.length), 1)[0]!)
    const answer = random.below(4)
    return [
      { before: parts.slice(0, -words).join(' '), endings: [...wrong.slice(0, answer), right, ...wrong.slice(answer)], answer },
    ]
  })
}

/** As many as are wanted, from all over. */
const spread = <T>(all: readonly T[], most: number): T[] =>
  all.length <= most ? [...all] : Array.from({ length: most }, (_, i) => all[Math.floor((i * all.length) / most)]!)

const pagesYaml = `output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: page
metric_list:
  - metric: bits_per_byte
metadata:
  version: 1
`
const wordsYaml = `output_type: loglikelihood
doc_to_text: before
doc_to_target: "{{' ' + word}}"
metric_list:
  - metric: acc
  - metric: perplexity
metadata:
  version: 1
`
const endingsYaml = `output_type: multiple_choice
doc_to_text: before
doc_to_choice: endings
doc_to_target: answer
metric_list:
  - metric: acc
metadata:
  version: 1
`
