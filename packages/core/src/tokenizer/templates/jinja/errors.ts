/** What goes wrong while a template is read or runs, by the name of the exception that Python would raise. */
import { unsupportedError } from '../../../errors.ts'

export type PythonErrorName =
  | 'TemplateSyntaxError'
  | 'TemplateRuntimeError'
  | 'UndefinedError'
  | 'SecurityError'
  | 'TypeError'
  | 'ValueError'
  | 'IndexError'
  | 'KeyError'
  | 'OverflowError'
  | 'ZeroDivisionError'

/** Caught where jinja2 catches its kind; else it becomes a checkpoint error that names it. */
export class PythonError extends Error {
  readonly python: PythonErrorName

  constructor(python: PythonErrorName, message: string) {
    super(message)
    this.python = python
  }
}

export const typeError = (message: string) => new PythonError('TypeError', message)
export const valueError = (message: string) => new PythonError('ValueError', message)
export const runtimeError = (message: string) => new PythonError('TemplateRuntimeError', message)

export const isPythonError = (error: unknown, ...names: readonly PythonErrorName[]): error is PythonError =>
  error instanceof PythonError && names.includes(error.python)

/** For what jinja2 does and we do not. */
export const notSupported = (what: string) => unsupportedError(`chat template: ${what} is not supported`)
