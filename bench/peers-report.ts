/** Tables of `peers.ts`: both sides with ratios, and the goals that they are held to. */
import { spreadOf } from '@parscale/core/internal'
import type { EngineName } from '../packages/parscale/src/load/decode-engine.ts'
import { textTable } from '../packages/parscale/src/terminal/text-table.ts'

export interface PeerFigures {
  readonly engine: EngineName
  readonly bits: 8 | 4
  readonly what: 'decode' | 'prefill'
  /** Our streams; llama.cpp's sequences. */
  readonly p: number
  /** ms by round: of each step, or of the prompt. */
  readonly ours: readonly (readonly number[])[]
  readonly llama: readonly (readonly number[])[]
}

type Rounds = readonly (readonly number[])[]
const medians = (rounds: Rounds) => rounds.map((ms) => spreadOf(ms).median)

/** How many times larger `a` is than `b`: the median of the rounds' ratios, which share the machine's weather. */
function ratioOf(a: Rounds, b: Rounds): { ratio: number; text: string } {
  const below = medians(b)
  const { median, min, max } = spreadOf(medians(a).map((ms, round) => ms / below[round]!))
  return { ratio: median, text: `${median.toFixed(2)} (${min.toFixed(2)}-${max.toFixed(2)})` }
}

export function peersTable(figures: readonly PeerFigures[], prompt: number): string {
  return textTable([
    ['bits', '', 'P', 'engine', 'ours', 'llama.cpp', 'llama.cpp / ours'],
    ...figures.map(({ engine, bits, what, p, ours, llama }) => {
      const show = (rounds: Rounds) => {
        const ms = spreadOf(rounds.flat()).median
        return what === 'decode' ? `${ms.toFixed(1)} ms` : `${((prompt * 1000) / ms).toFixed(1)} tokens/s`
      }
      return [String(bits), what, String(p), engine, show(ours), show(llama), ratioOf(llama, ours).text]
    }),
  ])
}

interface Goals {
  /** Step with eight streams over one, at most; undefined: no goal. */
  readonly eightOverOne: Readonly<Record<8 | 4, number | undefined>>
  /** Times faster than llama.cpp, at least. */
  readonly eightRows: Readonly<Record<8 | 4, number>>
  readonly oneRow: Readonly<Record<8 | 4, number>>
  readonly prefill: number
}

/** On two cores, the 1.6B shape, 256 tokens of context. */
const goalsOf: Readonly<Record<EngineName, Goals>> = {
  onnx: { eightOverOne: { 8: 1.6, 4: undefined }, eightRows: { 8: 3, 4: 2 }, oneRow: { 8: 1, 4: 1 }, prefill: 2 },
  native: { eightOverOne: { 8: 1.1, 4: 1.1 }, eightRows: { 8: 5, 4: 4 }, oneRow: { 8: 1.4, 4: 1.3 }, prefill: 3 },
}

/** @param figures of one engine */
export function goalsTable(figures: readonly PeerFigures[], engine: EngineName): string {
  const goals = goalsOf[engine]
  const find = (bits: number, what: PeerFigures['what'], p: number) =>
    figures.find((one) => one.bits === bits && one.what === what && one.p === p)
  const rows: string[][] = []
  const add = (
    goal: string,
    wanted: string,
    found: { ratio: number; text: string } | undefined,
    reached: ((ratio: number) => boolean) | undefined,
  ) => {
    if (found)
      rows.push([goal, wanted, found.text, reached === undefined ? '' : reached(found.ratio) ? 'reached' : 'not reached'])
  }
  const atLeast = (least: number) => (ratio: number) => ratio >= least
  for (const bits of [8, 4] as const) {
    const [one, eight] = [find(bits, 'decode', 1), find(bits, 'decode', 8)]
    if (one && eight) {
      const most = goals.eightOverOne[bits]
      const reached = most === undefined ? undefined : (ratio: number) => ratio <= most
      add(`ms per token P=8 / P=1, int${bits}`, most ? `at most ${most}` : '-', ratioOf(eight.ours, one.ours), reached)
      add(`the same, llama.cpp, int${bits}`, '-', ratioOf(eight.llama, one.llama), undefined)
    }
    const against = (p: number, least: number, figures: PeerFigures | undefined, what = `P=${p}`) => {
      const wanted = least === 1 ? 'not slower' : `${least}x faster`
      if (figures) add(`${what} against llama.cpp, int${bits}`, wanted, ratioOf(figures.llama, figures.ours), atLeast(least))
    }
    against(8, goals.eightRows[bits], eight, '8 rows')
    against(1, goals.oneRow[bits], one)
    for (const p of [1, 8]) against(p, goals.prefill, find(bits, 'prefill', p), `prefill P=${p}`)
  }
  return textTable([['goal', 'to reach', 'measured', ''], ...rows])
}
