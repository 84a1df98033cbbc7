/** What every chat template finds in scope: jinja2's globals and those of transformers (utils/chat_template_utils.py). */
import { usageError } from '../../../errors.ts'
import { notSupported, PythonError, typeError } from './errors.ts'
import { strftime } from './format/strftime.ts'
import { stringOf } from './printing.ts'
import { signature, textArgument } from './signature.ts'
import { Cycler, DictFunction, dictOf, Joiner, Namespace } from './things.ts'
import { type Arguments, Callable, integerOf, Range, typeName, type Value } from './values.ts'

/** The sandbox's limit. */
const maxRange = 100_000

const bindMessage = signature('raise_exception', 'message')
const bindFormat = signature('strftime_now', 'format')
const bindSeparator = signature('Joiner', "sep=', '")

export const globals: Readonly<Record<string, () => Value>> = {
  range: () => new Callable('range', (_, args) => range(args)),
  dict: () => new DictFunction(),
  namespace: () => new Callable('namespace', (runtime, args) => new Namespace(dictOf(runtime, args))),
  cycler: () =>
    new Callable('cycler', (_, { positional, named }) => {
      if (named.size > 0) throw typeError('Cycler() takes no keyword arguments')
      return new Cycler(positional)
    }),
  joiner: () => new Callable('joiner', (_, args) => new Joiner(bindSeparator(args)[0]!)),
  lipsum: () =>
    new Callable('lipsum', () => {
      throw notSupported('the function lipsum')
    }),
  strftime_now: () =>
    new Callable('strftime_now', (runtime, args) =>
      strftime(runtime, runtime.now(), textArgument(bindFormat(args)[0]!, 'strftime() argument 1')),
    ),
  raise_exception: () =>
    new Callable('raise_exception', (runtime, args) => {
      throw usageError(`chat template: ${stringOf(runtime, bindMessage(args)[0]!).value.slice(0, 1000)}`)
    }),
}

function range({ positional, named }: Arguments): Range {
  if (named.size > 0) throw typeError('range() takes no keyword arguments')
  if (positional.length < 1 || positional.length > 3) throw typeError(`range expected 1 to 3 arguments, got ${positional.length}`)
  const numbers = positional.map((value) => {
    const integer = integerOf(value)
    if (integer === undefined) throw typeError(`'${typeName(value)}' object cannot be interpreted as an integer`)
    return integer
  })
  const [start, stop, step] = numbers.length === 1 ? [0n, numbers[0]!, 1n] : [numbers[0]!, numbers[1]!, numbers[2] ?? 1n]
  if (step === 0n) throw new PythonError('ValueError', 'range() arg 3 must not be zero')
  const made = new Range(start, stop, step)
  if (made.length > maxRange)
    throw new PythonError('OverflowError', `Range too big. The sandbox blocks ranges larger than MAX_RANGE (${maxRange}).`)
  return made
}
