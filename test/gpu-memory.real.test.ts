/** Keys and values in buffers of a GPU, in Chromium: where they are written, copied and cleared of what is not finite. */
import type * as Ort from 'onnxruntime-web'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { gpuMemory } from '../packages/core/src/web/engine/gpu-memory.ts'
import { bundlePage, launch, noBrowser, openPage, removeFolder, type Site, serveSite } from './support/browser.ts'

const program = `
  import { gpuMemory } from './packages/core/src/web/engine/gpu-memory.ts'
  import * as ort from 'onnxruntime-web/jspi'
  Object.assign(globalThis, { gpuMemory, ort, ready: true })
`

interface Globals {
  readonly gpuMemory: typeof gpuMemory
  readonly ort: typeof Ort
}

describe.skipIf(noBrowser)('memory of a GPU', () => {
  let [browser, site, folder] = [] as unknown as [Browser, Site, string]
  beforeAll(async () => {
    folder = await bundlePage(program)
    site = await serveSite(folder, {}, { isolated: false })
    browser = await launch()
  })
  afterAll(async () => {
    await browser?.close()
    await site?.close()
    removeFolder(folder)
  })

  it('has tokens behind what rows hold, 0 for what is not finite, and copies of rows', async () => {
    const { page, context } = await openPage(browser, site)
    const [R, K, T, D, capacity] = [3, 2, 4, 5, 9] as const
    const values = Array.from({ length: R * K * T * D }, (_, i) => i + 1)
    // A real token's of row 0, and a padding token's of row 2.
    const [real, padding] = [1, (2 * K * T + 3) * D]
    const rows = [
      { at: 5, count: 4 },
      { at: 0, count: 1 },
      { at: 3, count: 2 },
    ]
    const found = await page.evaluate(
      async ({ values, rows, sizes: [R, K, T, D, capacity], real, padding }) => {
        const [mapRead, copyDst] = [1, 8]
        const { gpuMemory, ort } = globalThis as unknown as Globals
        const device = await (await navigator.gpu.requestAdapter())!.requestDevice()
        const memory = gpuMemory(device, ort as never)
        const tensorOf = (numbers: number[]) => {
          const block = memory.allocate(numbers.length)
          block.write(0, Float32Array.from(numbers))
          return block.tensor([R, K, T, D])
        }
        const read = async (block: ReturnType<typeof memory.allocate>, elements: number) => {
          const target = device.createBuffer({ size: 4 * elements, usage: mapRead | copyDst })
          const encoder = device.createCommandEncoder()
          encoder.copyBufferToBuffer(block.tensor([elements]).gpuBuffer as unknown as GPUBuffer, 0, target, 0, 4 * elements)
          device.queue.submit([encoder.finish()])
          await target.mapAsync(mapRead)
          return [...new Float32Array(target.getMappedRange())]
        }
        const odd = values.slice()
        odd[real] = Number.POSITIVE_INFINITY
        odd[padding] = Number.NaN
        const elements = R * K * capacity * D
        const [keys, others, moved] = [memory.allocate(elements), memory.allocate(elements), memory.allocate(elements)]
        const broken = await memory.append(
          [
            { from: tensorOf(odd), to: keys },
            { from: tensorOf(values), to: others },
          ],
          capacity,
          rows,
        )
        const row = elements / R
        memory.copy([
          { from: others, at: 2 * row, to: moved, place: 0, count: row },
          { from: others, at: 0, to: moved, place: row, count: row },
        ])
        const whole = await memory.append([{ from: tensorOf(values), to: others }], capacity, rows)
        return {
          ...{ broken: [...broken], whole: [...whole] },
          ...{ keys: await read(keys, elements), others: await read(others, elements), moved: await read(moved, elements) },
        }
      },
      { values, rows, sizes: [R, K, T, D, capacity] as const, real, padding },
    )
    const expected = new Array<number>(R * K * capacity * D).fill(0)
    for (const [r, { at, count }] of rows.entries())
      for (let head = r * K; head < (r + 1) * K; head++)
        for (let i = 0; i < count * D; i++) expected[(head * capacity + at) * D + i] = values[head * T * D + i]!
    const keys = expected.slice()
    keys[rows[0]!.at * D + real] = 0
    const row = expected.length / R
    const moved = [...expected.slice(2 * row), ...expected.slice(0, row), ...new Array<number>(row).fill(0)]
    expect(found).toEqual({ broken: [0], whole: [], keys, others: expected, moved })
    await context.close()
  })
})
