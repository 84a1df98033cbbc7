/** Which runs are to be made next, from what there is: the sweep of a cell's rates, then its other seeds at the best one. */
import { type Cell, cellName, type RunName, variants } from './cells.ts'
import { choosingLoss, type Record } from './records.ts'

/** The records of one cell. */
const ofCell = (records: readonly Record[], cell: Cell): Record[] =>
  records.filter(({ size, variant }) => `${size}-${variant}` === cellName(cell))

/** The cell's best rate so far, of seed 0, and whether the rates on both of its sides are known to be worse. */
export function bestRate(records: readonly Record[], cell: Cell): { rate: number; enclosed: boolean } | undefined {
  const swept = ofCell(records, cell).filter(({ seed }) => seed === 0)
  if (swept.length === 0) return undefined
  const best = swept.reduce((best, each) => (choosingLoss(each) < choosingLoss(best) ? each : best))
  const has = (rate: number) => swept.some((each) => isSameRate(each.rate, rate))
  return { rate: best.rate, enclosed: has(best.rate / 2) && has(best.rate * 2) }
}

/** Runs of this cell that can be started now. Empty also where others have to end before it is known what comes next. */
export function nextRuns(records: readonly Record[], cell: Cell): RunName[] {
  const has = (rate: number, seed: number) =>
    ofCell(records, cell).some((each) => isSameRate(each.rate, rate) && each.seed === seed)
  const { rate: given } = cell
  if (given !== undefined) return cell.seeds.filter((seed) => !has(given, seed)).map((seed) => ({ cell, rate: given, seed }))
  if (cell.variant.independent) {
    const plain = { ...cell, variant: variants.p1 }
    if (nextRuns(records, plain).length > 0) return []
    const { rate } = bestRate(records, plain)!
    return cell.seeds.filter((seed) => !has(rate, seed)).map((seed) => ({ cell, rate, seed }))
  }
  const sweep = cell.size.rates.filter((rate) => !has(rate, 0))
  if (sweep.length > 0) return sweep.map((rate) => ({ cell, rate, seed: 0 }))
  const { rate, enclosed } = bestRate(records, cell)!
  if (!enclosed && cell.seeds.length > 1)
    return [rate / 2, rate * 2].filter((each) => !has(each, 0)).map((each) => ({ cell, rate: each, seed: 0 }))
  return cell.seeds.filter((seed) => !has(rate, seed)).map((seed) => ({ cell, rate, seed }))
}

/** Rates are halved and doubled, which rounds. */
const isSameRate = (a: number, b: number): boolean => Math.abs(a / b - 1) < 1e-6
