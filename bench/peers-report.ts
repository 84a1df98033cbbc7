/** Tables of `peers.ts`: both sides with ratios, and the goals that they are held to. */
import { textTable } from '../packages/parscale/src/commands/text-table.ts'
import { spreadOf } from './spread.ts'

export interface PeerFigures {
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
    ['bits', '', 'P', 'ours', 'llama.cpp', 'llama.cpp / ours'],
    ...figures.map(({ bits, what, p, ours, llama }) => {
      const show = (rounds: Rounds) => {
        const ms = spreadOf(rounds.flat()).median
        return what === 'decode' ? `${ms.toFixed(1)} ms` : `${((prompt * 1000) / ms).toFixed(1)} tokens/s`
      }
      return [String(bits), what, String(p), show(ours), show(llama), ratioOf(llama, ours).text]
    }),
  ])
}

/** What issue 5 asks for on ONNX Runtime, two cores, the 1.6B shape, 256 tokens of context. */
export function goalsTable(figures: readonly PeerFigures[]): string {
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
  for (const bits of [8, 4]) {
    const [one, eight] = [find(bits, 'decode', 1), find(bits, 'decode', 8)]
    if (one && eight) {
      if (bits === 8) add('ms per token P=8 / P=1, int8', 'at most 1.6', ratioOf(eight.ours, one.ours), (ratio) => ratio <= 1.6)
      add(`the same, llama.cpp, int${bits}`, '-', ratioOf(eight.llama, one.llama), undefined)
    }
    const least = bits === 8 ? 3 : 2
    if (eight) add(`8 rows against llama.cpp, int${bits}`, `${least}x faster`, ratioOf(eight.llama, eight.ours), atLeast(least))
    if (one) add(`P=1 against llama.cpp, int${bits}`, 'not slower', ratioOf(one.llama, one.ours), atLeast(1))
    for (const p of [1, 8]) {
      const prefill = find(bits, 'prefill', p)
      if (prefill)
        add(`prefill P=${p} against llama.cpp, int${bits}`, '2x faster', ratioOf(prefill.llama, prefill.ours), atLeast(2))
    }
  }
  return textTable([['goal', 'to reach', 'measured', ''], ...rows])
}
