/** Quantised models on the command line and in the library. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseModelConfig } from '@parscale/core/internal/checkpoint'
import { backboneParameters, elementCount, streamParameters } from '@parscale/core/internal/model'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { byteModel } from '../../../core/src/testing/fixtures.ts'
import { loadModel } from '../load/load.ts'
import { parscale } from '../testing/cli.ts'

let folder: string
let env: NodeJS.ProcessEnv
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-quantize-'))
  env = { ...process.env, PARSCALE_CACHE: join(folder, 'cache') }
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('the library', () => {
  it('loads a model in so many bits, once made, with its streams', async () => {
    let writes = 0
    for (const expected of [1, 0]) {
      writes = 0
      const loaded = await loadModel(byteModel, { bits: 8, env, onPack: () => writes++ })
      expect(loaded.model.availableP).toEqual([1, 8])
      expect(Math.sign(writes)).toBe(expected)
      await loaded.model.dispose()
      await loaded.close()
    }
  })
})

/** A model of 2.8e12 parameters in a file without contents: nothing but its header takes room on the disk. */
function writeHollowModel(path: string): void {
  const config = {
    ...JSON.parse(readFileSync(join(byteModel, 'config.json'), 'utf8')),
    model_type: 'qwen2',
    hidden_size: 2 ** 15,
    intermediate_size: 2 ** 18,
    num_hidden_layers: 100,
    num_attention_heads: 256,
    num_key_value_heads: 8,
    tie_word_embeddings: true,
  }
  delete config.head_dim
  const model = parseModelConfig(config)
  const parameters = [...backboneParameters(model, true), ...streamParameters(model)]
  const header: Record<string, unknown> = {}
  let end = 0
  for (const { name, shape } of parameters) {
    const from = end
    end += 2 * elementCount(shape)
    header[name] = { dtype: 'BF16', shape, data_offsets: [from, end] }
  }
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  mkdirSync(path)
  writeFileSync(join(path, 'config.json'), JSON.stringify(config))
  writeFileSync(join(path, 'model.safetensors'), Buffer.concat([length, json]))
  truncateSync(join(path, 'model.safetensors'), 8 + json.length + end)
}

const text = 'Streams are batch rows.'

describe('the command line', () => {
  it('quantises a model, tells what it made, and runs it', async () => {
    const out = join(folder, 'int8')
    const { code, stdout } = await parscale(['quantize', byteModel, '--bits', '8', '--out', out, '--json'])
    expect(code).toBe(0)
    const summary = JSON.parse(stdout)
    expect(summary).toMatchObject({ source: byteModel, target: out, bits: 8, blockSize: 128 })
    expect(summary.bytesAfter).toBeLessThan(summary.bytesBefore)
    const score = async (...args: string[]) =>
      JSON.parse((await parscale(['score', ...args, '--text', text, '--json'], { env })).stdout)
    const [made, cached, original] = await Promise.all([score(out), score(byteModel, '--bits', '8'), score(byteModel)])
    expect(made.loss).toBe(cached.loss)
    expect(Math.abs(made.loss - original.loss)).toBeLessThan(0.05)
    expect(made.loss).not.toBe(original.loss)
  })

  it('compares', async () => {
    const args = ['compare', byteModel, '--bits', '8,4', '--block-size', '16,32', '--p', '1,8', '--text', text]
    const { stdout, code } = await parscale([...args, '--json'], { env })
    expect(code).toBe(0)
    const { rows } = JSON.parse(stdout)
    const [best, worst] = [rows[0], rows.at(-1)]
    expect(rows.map((row: { bits: number; blockSize: number; p: number }) => [row.bits, row.blockSize, row.p])).toEqual(
      [8, 4].flatMap((bits) => [16, 32].flatMap((size) => [1, 8].map((p) => [bits, size, p]))),
    )
    expect(best).toMatchObject({ tokens: text.length })
    expect(best.kl.mean).toBeGreaterThan(0)
    expect(worst.kl.mean).toBeGreaterThan(5 * best.kl.mean)
    expect((await parscale(args, { env })).stdout).toMatch(/^weights +size +P +cache +perplexity/)
  })

  it('compares keys and values in fewer bits, with and without fewer bits of weights', async () => {
    const rows = async (...args: string[]) =>
      JSON.parse((await parscale(['compare', byteModel, ...args, '--p', '8', '--text', text, '--json'], { env })).stdout).rows
    const [kv, both] = await Promise.all([rows('--kv', 'f16,int8'), rows('--kv', 'int8', '--bits', '4')])
    expect(kv.map((row: { kv: string }) => row.kv)).toEqual(['f16', 'int8'])
    expect(kv[0].kl.mean).toBeLessThan(kv[1].kl.mean)
    expect(kv[1].cacheBytes).toBeLessThan(kv[0].cacheBytes)
    expect(both[0]).toMatchObject({ kv: 'int8', bits: 4, blockSize: 32 })
    expect(both[0].weightBytes).toBeLessThan(kv[0].weightBytes)
  })

  it('a model compared with itself differs in nothing', async () => {
    const { stdout } = await parscale(['compare', byteModel, byteModel, '--p', '8', '--text', text, '--json'], { env })
    expect(JSON.parse(stdout).rows[0]).toMatchObject({
      kl: { mean: 0, max: 0 },
      topOneAgreement: 1,
      rmsDeltaP: 0,
      perplexity: { ratio: 1 },
    })
  })

  it.each<[string[], number, RegExp]>([
    [['quantize', byteModel, '--bits', '3', '--out', 'x'], 2, /--bits.*it must be 8 or 4/],
    [['quantize', byteModel, '--bits', '8', '--block-size', '48', '--out', 'x'], 2, /power of two/],
    [['quantize', byteModel, '--out', 'x'], 2, /--bits/],
    [['compare', byteModel, '--text', 'x'], 2, /nothing to compare with/],
    [['compare', byteModel, '--bits', '8'], 2, /nothing to read/],
  ])('refuses %j', async (args, code, message) => {
    const result = await parscale(args, { env })
    expect(result.code).toBe(code)
    expect(result.stderr).toMatch(message)
  })

  it('refuses a model that is quantised already', async () => {
    const out = join(folder, 'int4')
    await parscale(['quantize', byteModel, '--bits', '4', '--out', out])
    for (const args of [
      ['quantize', out, '--bits', '8', '--out', join(folder, 'again')],
      ['score', out, '--bits', '8', '--text', text],
    ]) {
      const { code, stderr } = await parscale(args, { env })
      expect(code).toBe(2)
      expect(stderr).toContain('is quantised already, to 4 bits')
    }
    expect(readdirSync(folder)).not.toContain('again')
  })

  it('refuses a model that does not fit in so many bits either, with the numbers, before it is quantised', async () => {
    const huge = join(folder, 'huge')
    writeHollowModel(huge)
    const unused = { ...env, PARSCALE_CACHE: join(folder, 'unused') }
    const { code, stderr } = await parscale(['score', huge, '--bits', '4', '--text', text], { env: unused })
    expect(code, stderr).toBe(4)
    // 2.8e12 weights of 5 bits each, where 32 would be 11 TB.
    expect(stderr).toMatch(/huge needs 17\d\d\.\d GB of memory at P = 8 \(weights 17\d\d\.\d GB, cache .* are free/)
    expect(readdirSync(folder)).not.toContain('unused')
  })

  it('inspect says how a model is quantised, and how it would be', async () => {
    const read = async (...args: string[]) => JSON.parse((await parscale(['inspect', ...args, '--json'], { env })).stdout)
    const [planned, made] = await Promise.all([read(byteModel, '--bits', '4'), read(join(folder, 'int4'))])
    expect(planned.quantised).toEqual(made.quantised)
    expect(new Set(made.quantised.map(({ bits }: { bits: number }) => bits))).toEqual(new Set([4, 8]))
    expect(planned.memory.weightBytes).toBe(made.memory.weightBytes)
    expect(JSON.parse(readFileSync(join(folder, 'int4', 'config.json'), 'utf8')).quantization_config).toMatchObject({ bits: 4 })
  })
})
