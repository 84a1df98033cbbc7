/** The options of sampling, as `/set` changes them: names, values and checks are the command line's. */
import { Command, InvalidArgumentError } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'
import { didYouMean, nearestNames } from '../../terminal/nearest.ts'
import { checkSampling, type SamplingFlags, withSampling } from '../options.ts'

const options = withSampling(new Command()).options
const defaults = withSampling(new Command()).opts()

/** As ollama and the Python libraries spell them: `top_k`. */
export const settingNames = options.map((option) => option.name().replaceAll('-', '_'))

export class Settings {
  #flags: SamplingFlags

  constructor(flags: SamplingFlags) {
    this.#flags = flags
  }

  get flags(): SamplingFlags {
    return this.#flags
  }

  /**
   * `default` as the value takes a setting back.
   *
   * @returns what was set, in words
   * @throws usage error for a name that there is not, or a value that it does not take
   */
  set(name: string, text: string): string {
    const spelled = name.replaceAll('-', '_').toLowerCase()
    const option = options[settingNames.indexOf(spelled)]
    if (!option)
      throw usageError(
        `/set ${name}: there is no such setting${didYouMean(nearestNames(name, settingNames)) || '.'} There are ${settingNames.join(', ')} and system`,
        {
          found: name,
        },
      )
    const key = option.attributeName()
    const flags: Record<string, unknown> = { ...this.#flags }
    if (text === 'default') flags[key] = (defaults as Record<string, unknown>)[key]
    else if (option.isBoolean()) flags[key] = booleanOf(spelled, text)
    else if (text === '')
      throw usageError(`/set ${name}: expected a value, such as /set ${spelled} ${example(option.defaultValue)}`)
    else {
      try {
        flags[key] = option.parseArg!(text, undefined as never)
      } catch (error) {
        if (!(error instanceof InvalidArgumentError)) throw error
        throw usageError(`/set ${name} ${text}: ${error.message}`, { found: text })
      }
    }
    checkSampling(flags as SamplingFlags)
    this.#flags = flags as SamplingFlags
    return `${spelled} ${shown(flags[key])}`
  }

  /** A line for each setting. */
  lines(): string[] {
    return settingNames.map(
      (name, i) => `${name} ${shown((this.#flags as Record<string, unknown>)[options[i]!.attributeName()])}`,
    )
  }
}

const example = (value: unknown): string => (value === undefined ? '1' : String(value))

function booleanOf(name: string, text: string): true | undefined {
  if (['', 'on', 'true', '1'].includes(text)) return true
  if (['off', 'false', '0'].includes(text)) return undefined
  throw usageError(`/set ${name} ${text}: expected on or off`, { found: text })
}

const shown = (value: unknown): string => {
  if (value === undefined) return '(not set)'
  if (value instanceof Map) return [...value].map(([id, bias]) => `${id}=${bias}`).join(' ')
  return typeof value === 'object' ? JSON.stringify(value) : value === true ? 'on' : String(value)
}
