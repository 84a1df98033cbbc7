/**
 * Scaling laws as data. Each is a floor E, a term for capacity (parameters and streams) and, in the joint laws, one for data:
 *
 *   loss = E + (A / (N s_N(P)))^alpha  [ + (B / (D s_D(P)))^beta ]
 *
 * They differ in what P streams are worth:
 *   nothing      s = 1
 *   log          s = k ln P + 1                           ParScale (arXiv 2505.10475), Equation 5
 *   correlation  s^-alpha = ((P - 1) rho + 1) / P         the same, Proposition 1, with one rho for all models
 * The data term is that of Chinchilla (arXiv 2203.15556, Equation 2), written with B inside the power like A.
 */
import { usageError } from '../errors.ts'
import { checkSetting, type Setting } from './points.ts'

export interface Parameter {
  readonly name: string
  readonly latex: string
  readonly lower: number
  readonly upper: number
  /** Searched for as its logarithm, in units of this quantity's order of magnitude in the data. */
  readonly unitOf?: 'N' | 'D' | 'loss'
  readonly logarithmic: boolean
  /** Starts of the search, in that unit. */
  readonly starts: readonly number[]
}

/** Logarithms of a setting, taken once a fit rather than at every step. */
export interface LogSetting {
  readonly P: number
  readonly lnP: number
  readonly lnN: number
  /** NaN where D is unknown. */
  readonly lnD: number
}

/** A scaling law as data: parameters, bounds, value and gradient. */
export interface Law {
  readonly name: LawName
  readonly title: string
  /** Plain text, in the names of `parameters`. */
  readonly formula: string
  readonly latex: string
  /** E first, then the capacity term's, then the data term's. */
  readonly parameters: readonly Parameter[]
  readonly needs: readonly ('P' | 'D')[]
  /** The law that this one becomes when its last-named stream parameter has no effect, if there is one. */
  readonly nested?: LawName
  /** Loss at a setting; writes d loss / d parameter into `gradient` if given. `theta` is in the order of `parameters`. */
  evaluate(theta: ArrayLike<number>, setting: LogSetting, gradient?: Float64Array): number
}

/** One power term; `first` is the place of its own parameters in theta. */
interface Term {
  readonly formula: string
  readonly latex: string
  readonly parameters: readonly Parameter[]
  evaluate(theta: ArrayLike<number>, first: number, setting: LogSetting, gradient?: Float64Array): number
}

type Streams = 'none' | 'log' | 'correlation'

// Starts and the lower bound are those of the published fitting script; see fixtures/law/scaling-law.json, `procedure`.
const lower = 1e-8
const exponentStarts = [0, 0.5, 1, 1.5, 2]
const scaleStarts = [-4, -2, 0, 2, 4].map(Math.exp)
const streamStarts = [0.2, 0.4, 0.6, 0.8]

const floor: Parameter = {
  name: 'E',
  latex: 'E',
  lower,
  upper: Infinity,
  unitOf: 'loss',
  logarithmic: false,
  starts: [-1, -0.5, 0].map(Math.exp),
}

function powerTerm(size: 'N' | 'D', streams: Streams): Term {
  const [scale, exponent, factor] = size === 'N' ? ['A', 'alpha', 'k'] : ['B', 'beta', 'm']
  const parameters: Parameter[] = [
    { name: scale, latex: scale, lower, upper: Infinity, unitOf: size, logarithmic: true, starts: scaleStarts },
    { name: exponent, latex: `\\${exponent}`, lower, upper: Infinity, logarithmic: false, starts: exponentStarts },
  ]
  const plain = { formula: `(${scale} / ${size})^${exponent}`, latex: `\\left(\\frac{${scale}}{${size}}\\right)^{\\${exponent}}` }
  // ln of (scale / size); its product with the exponent is ln of the plain term.
  const lnRatio = (theta: ArrayLike<number>, first: number, at: LogSetting) =>
    Math.log(theta[first]!) - (size === 'N' ? at.lnN : at.lnD)

  if (streams === 'correlation') {
    return {
      formula: `${plain.formula} * ((P - 1) rho + 1) / P`,
      latex: `${plain.latex} \\frac{(P-1)\\rho+1}{P}`,
      parameters: [...parameters, { name: 'rho', latex: '\\rho', lower, upper: 1, logarithmic: false, starts: streamStarts }],
      evaluate(theta, first, at, gradient) {
        const [power, rho] = [theta[first + 1]!, theta[first + 2]!]
        const ratio = lnRatio(theta, first, at)
        const single = Math.exp(power * ratio)
        const value = (single * ((at.P - 1) * rho + 1)) / at.P
        if (gradient !== undefined) {
          gradient[first] = (power * value) / theta[first]!
          gradient[first + 1] = value * ratio
          gradient[first + 2] = (single * (at.P - 1)) / at.P
        }
        return value
      },
    }
  }
  const counted = streams === 'log'
  return {
    formula: counted ? `(${scale} / (${size} (${factor} ln P + 1)))^${exponent}` : plain.formula,
    latex: counted ? `\\left(\\frac{${scale}}{${size}\\,(${factor}\\ln P+1)}\\right)^{\\${exponent}}` : plain.latex,
    parameters: counted
      ? [...parameters, { name: factor!, latex: factor!, lower, upper: Infinity, logarithmic: false, starts: streamStarts }]
      : parameters,
    evaluate(theta, first, at, gradient) {
      const power = theta[first + 1]!
      const worth = counted ? theta[first + 2]! * at.lnP + 1 : 1
      const ratio = lnRatio(theta, first, at) - Math.log(worth)
      const value = Math.exp(power * ratio)
      if (gradient !== undefined) {
        gradient[first] = (power * value) / theta[first]!
        gradient[first + 1] = value * ratio
        if (counted) gradient[first + 2] = (-power * value * at.lnP) / worth
      }
      return value
    },
  }
}

function makeLaw(name: LawName, title: string, capacity: Term, data?: Term, nested?: LawName): Law {
  const terms = data === undefined ? [capacity] : [capacity, data]
  const parameters = [floor, ...terms.flatMap((term) => term.parameters)]
  const dataFirst = 1 + capacity.parameters.length
  const formula = ['E', ...terms.map((term) => term.formula)].join(' + ')
  return {
    name,
    title,
    formula,
    latex: ['L = E', ...terms.map((term) => term.latex)].join(' + '),
    parameters,
    needs: [...(formula.includes('P') ? (['P'] as const) : []), ...(data === undefined ? [] : (['D'] as const))],
    nested,
    evaluate(theta, setting, gradient) {
      if (gradient !== undefined) gradient[0] = 1
      const rest = data === undefined ? 0 : data.evaluate(theta, dataFirst, setting, gradient)
      return theta[0]! + capacity.evaluate(theta, 1, setting, gradient) + rest
    },
  }
}

export const lawNames = ['log', 'correlation', 'power', 'joint-log', 'joint-correlation', 'joint-log-data', 'chinchilla'] as const
/** The names of the laws. */
export type LawName = (typeof lawNames)[number]

/** The laws by name. */
export const laws: Readonly<Record<LawName, Law>> = {
  log: makeLaw('log', 'log law (Equation 5)', powerTerm('N', 'log'), undefined, 'power'),
  correlation: makeLaw('correlation', 'constant correlation (Proposition 1)', powerTerm('N', 'correlation'), undefined, 'power'),
  power: makeLaw('power', 'parameters only', powerTerm('N', 'none')),
  'joint-log': makeLaw('joint-log', 'log law with data', powerTerm('N', 'log'), powerTerm('D', 'none'), 'chinchilla'),
  'joint-correlation': makeLaw(
    'joint-correlation',
    'constant correlation with data',
    powerTerm('N', 'correlation'),
    powerTerm('D', 'none'),
    'chinchilla',
  ),
  'joint-log-data': makeLaw(
    'joint-log-data',
    'log law, streams stretch data too',
    powerTerm('N', 'log'),
    powerTerm('D', 'log'),
    'joint-log',
  ),
  chinchilla: makeLaw('chinchilla', 'parameters and data', powerTerm('N', 'none'), powerTerm('D', 'none')),
}

/** Throws a usage error that lists the known names. */
export function lawNamed(name: string): Law {
  const law = (laws as Readonly<Record<string, Law>>)[name]
  if (law === undefined) {
    throw usageError(`law: '${name}' is not known; choose one of ${lawNames.join(', ')}`, {
      flag: 'law',
      expected: lawNames,
      found: name,
    })
  }
  return law
}

export function logSetting({ N, P, D }: Setting): LogSetting {
  return { P, lnP: Math.log(P), lnN: Math.log(N), lnD: D === undefined ? Number.NaN : Math.log(D) }
}

/** @throws usage error where `theta` is not a finite number for each of the law's parameters */
export function checkTheta(law: Law, theta: ArrayLike<number>): void {
  const names = law.parameters.map(({ name }) => name)
  if (theta.length !== names.length || !Array.from(theta).every(Number.isFinite))
    throw usageError(
      `the ${law.name} law has the parameters ${names.join(', ')}; got ${Array.from(theta).join(', ') || 'nothing'}`,
      {
        expected: names,
        found: Array.from(theta),
      },
    )
}

/** Loss that a law gives; `theta` in the order of `law.parameters`. @throws usage error for a joint law without D, and as the checks */
export function lossAt(law: Law, theta: ArrayLike<number>, setting: Setting): number {
  checkSetting(setting)
  checkTheta(law, theta)
  if (law.needs.includes('D') && setting.D === undefined) {
    throw usageError(`the ${law.name} law needs the number of training tokens D`, { flag: 'D' })
  }
  return law.evaluate(theta, logSetting(setting))
}
