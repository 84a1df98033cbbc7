/** Models without Node: opened, quantised and unpacked from maps of bytes, by a program that bundles for browsers. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FolderContents } from '@parscale/core/internal/contents'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { root } from './support/markdown.ts'

type Portable = typeof import('@parscale/core/internal/checkpoint') &
  typeof import('@parscale/core/internal/contents') &
  typeof import('@parscale/core/internal/tokenizer')

let scratch: string
let portable: Portable
beforeAll(async () => {
  const contents = ['checkpoint', 'contents', 'tokenizer']
    .map((room) => `export * from '@parscale/core/internal/${room}'`)
    .join('\n')
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: root },
    bundle: true,
    write: false,
    metafile: true,
    format: 'esm',
    platform: 'browser', // fails on an import of node:
    conditions: ['source'],
    logLevel: 'silent',
  })
  expect(Object.values(metafile.outputs).flatMap(({ imports }) => imports)).toEqual([])
  scratch = mkdtempSync(join(tmpdir(), 'parscale-portable-'))
  const program = join(scratch, 'portable.mjs')
  writeFileSync(program, outputFiles[0]!.text)
  portable = await import(/* @vite-ignore */ pathToFileURL(program).href)
})
afterAll(() => rmSync(scratch, { recursive: true }))

type Files = ReadonlyMap<string, Uint8Array>

/** All files of a folder, by their paths in it. */
function filesOf(folder: string): Files {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(folder, name)).isFile())
  return new Map(names.map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))]))
}

const openMap = (files: Files, path: string) =>
  portable.openCheckpoint({
    path,
    readText: async (name) => (files.has(name) ? new TextDecoder().decode(files.get(name)) : undefined),
    openSource: async (name) => (files.has(name) ? portable.bytesSource(files.get(name)!, `${path}/${name}`) : undefined),
  })

const below = (files: Files, folder: string): Files =>
  new Map([...files].flatMap(([name, bytes]) => (name.startsWith(folder) ? [[name.slice(folder.length), bytes]] : [])))
const small = (files: Files): Files => new Map([...files].filter(([name]) => portable.isCompanion(name)))

/** What a sink of some platform would write. */
async function written({ files, tensors }: Pick<FolderContents, 'files' | 'tensors'>): Promise<Files> {
  const parts: Uint8Array[] = []
  await portable.writeSafetensors({ write: async (bytes) => void parts.push(bytes.slice()) }, tensors)
  return new Map(files).set('model.safetensors', Buffer.concat(parts))
}

it('opens the model that ships, with its tokenizer, and quantises it with its stream sets', async () => {
  const files = filesOf(join(root, 'packages/parscale/models/small'))
  const checkpoint = await openMap(files, 'small')
  const tokenizer = portable.createTokenizer(await portable.tokenizerFiles(checkpoint), 'small')
  expect(tokenizer.decode(tokenizer.encode('Moby Dick'))).toBe('Moby Dick')

  const sets = new Map<string, { checkpoint: Awaited<ReturnType<typeof openMap>>; files: Files }>()
  for (const name of ['streams/p2', 'streams/p4', 'streams/p8']) {
    const own = below(files, `${name}/`)
    sets.set(name, { checkpoint: await openMap(own, name), files: small(own) })
  }
  const model = portable.checkpointContents(checkpoint, small(files))
  const plan = portable.quantisationPlan(model, { bits: 8, blockSize: 32 })
  const contents = await portable.quantisedContents(model, plan, sets, { sha256: () => createHash('sha256') })
  expect([...contents.folders!.keys()]).toEqual([...sets.keys()])

  const again = await openMap(await written(contents), 'quantised')
  // The backbone's digest as the stream sets had it when they were trained.
  const { parscale_backbone_sha256: digest } = JSON.parse(new TextDecoder().decode(files.get('streams/p8/config.json')))
  expect(again.configJson.quantization_config).toMatchObject({ bits: 8, block_size: 32, source_backbone_sha256: digest })
  const matrices = [...again.otherTensors.values()].filter(({ dtype, shape }) => dtype === 'U8' && shape.length === 3)
  expect(matrices.length).toBe(1 + 7 * checkpoint.config.numHiddenLayers)
  for (const { name, source, offset, byteLength } of matrices) {
    const codes = await source.read(offset, byteLength)
    const scales = await portable.readF32(again.tensors.get(`${name}_scales`)!)
    const floats = await portable.readF32(checkpoint.tensors.get(name)!)
    expect(codes.length).toBe(floats.length)
    const worst = floats.reduce((most, float, i) => {
      const scale = scales[Math.floor(i / 32)]!
      return Math.max(most, Math.abs(float - scale * (codes[i]! - 128)) / scale)
    }, 0)
    expect(worst, name).toBeLessThanOrEqual(0.5001)
    expect(worst, name).toBeGreaterThan(0)
  }
})

it('refuses stream sets of another backbone', async () => {
  const files = filesOf(join(root, 'packages/parscale/models/small'))
  const own = below(files, 'streams/p2/')
  const config = { ...JSON.parse(new TextDecoder().decode(own.get('config.json'))), parscale_backbone_sha256: 'f'.repeat(64) }
  const other = new Map(own).set('config.json', new TextEncoder().encode(JSON.stringify(config)))
  const [backbone, set] = [await openMap(files, 'small'), await openMap(other, 'other')]
  const hashing = { sha256: () => createHash('sha256') }
  await portable.verifySameBackbone(backbone, [await openMap(own, 'own')], hashing)
  await expect(portable.verifySameBackbone(backbone, [set], hashing)).rejects.toThrow(/other: was trained on another backbone/)
})

// The GGUF file was written by PyPI's gguf from this checkpoint: fixtures/gguf/README.md.
it('makes of a GGUF file the folder that it was made from', async () => {
  const [gguf, original] = ['fixtures/gguf/llama-linear.gguf', 'fixtures/transformers/llama-linear'].map((path) =>
    join(root, path),
  )
  const contents = await portable.ggufContents(portable.bytesSource(new Uint8Array(readFileSync(gguf!)), 'x.gguf'))
  const made = await openMap(await written(contents), 'made')
  const expected = await openMap(filesOf(original!), 'original')
  const { raw: _, ...config } = made.config
  expect(config).toEqual({ ...expected.config, raw: undefined })
  expect([...made.tensors.keys()].sort()).toEqual([...expected.tensors.keys()].sort())
  for (const [name, tensor] of expected.tensors) {
    expect(made.tensors.get(name)!.shape).toEqual(tensor.shape)
    expect(Buffer.compare(await bytesOf(made.tensors.get(name)!), await bytesOf(tensor)), name).toBe(0)
  }
})

const bytesOf = (tensor: {
  source: { read(offset: number, length: number): Promise<Uint8Array> }
  offset: number
  byteLength: number
}) => tensor.source.read(tensor.offset, tensor.byteLength)

it('names what is missing', async () => {
  await expect(openMap(new Map(), 'nothing')).rejects.toThrow(/^nothing\/config\.json is missing/)
  const files = new Map(filesOf(join(root, 'fixtures/goldens/parscale-p2')))
  files.delete('model.safetensors')
  await expect(openMap(files, 'golden')).rejects.toThrow(/^golden: no weights: expected model\.safetensors or/)
  await expect(portable.tokenizerFiles({ path: 'golden/', readText: async () => undefined })).rejects.toThrow(
    /tokenizer\.json is missing/,
  )
  const twice = { path: 'golden', readText: async () => '{"model": 1, "model": 2}' }
  await expect(portable.tokenizerFiles(twice)).rejects.toThrow(/^golden\/tokenizer\.json names "model" twice/)
})
