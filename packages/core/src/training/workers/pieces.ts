/**
 * Parameters one behind the other, cut into pieces of a fixed size: what is summed, measured and updated as one, and given to one worker. The
 * cuts do not follow from the number of workers, so that neither does a bit of what is computed.
 */
import { elementCount, type Parameter } from '../../model/index.ts'

export interface Piece {
  readonly parameter: Parameter
  /** In elements, of all parameters in their order. */
  readonly start: number
  readonly end: number
}

export interface Layout {
  readonly pieces: readonly Piece[]
  /** Where each parameter begins. */
  readonly starts: ReadonlyMap<string, number>
  /** With the gaps between parameters. */
  readonly elements: number
}

/** Half a megabyte: enough for a message, few enough to spread evenly. Norms are summed piece by piece: another size gives other bits. */
export const elementsOfPiece = 1 << 17

/** Parameters begin at cache lines. */
const alignment = 16

export function layOut(parameters: readonly Parameter[]): Layout {
  const starts = new Map<string, number>()
  const pieces: Piece[] = []
  let elements = 0
  for (const parameter of parameters) {
    const count = elementCount(parameter.shape)
    starts.set(parameter.name, elements)
    for (let from = 0; from < count; from += elementsOfPiece) {
      pieces.push({ parameter, start: elements + from, end: elements + Math.min(count, from + elementsOfPiece) })
    }
    elements += Math.ceil(count / alignment) * alignment
  }
  return { pieces, starts, elements }
}

/** A worker's pieces: the first and the one behind the last, and the elements from and to where they lie. Both may be the same: it has none. */
export interface Share {
  readonly first: number
  readonly end: number
  readonly from: number
  readonly to: number
}

/** Neighbouring pieces for each worker, as evenly as their sizes allow. */
export function sharesOf({ pieces, elements }: Layout, workers: number): Share[] {
  const owner = ({ start, end }: Piece) => Math.min(workers - 1, Math.floor((((start + end) / 2) * workers) / elements))
  return Array.from({ length: workers }, (_, rank) => {
    const own = pieces.flatMap((piece, i) => (owner(piece) === rank ? [i] : []))
    const first = own[0] ?? 0
    const end = own.length > 0 ? own.at(-1)! + 1 : 0
    return { first, end, from: pieces[first]!.start, to: end > 0 ? pieces[end - 1]!.end : pieces[first]!.start }
  })
}

/** Pieces of others that a worker has room for at once: 64 MB. */
const piecesAhead = 128

/** Own pieces that a worker sums at once, each from all others: one at least, so that beyond 129 workers the sums take more than 64 MB. */
export const windowOf = (workers: number): number => Math.max(1, Math.floor(piecesAhead / (workers - 1)))
