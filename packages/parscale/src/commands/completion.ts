/** `parscale completion`: scripts for shells, printed from the commands' own definitions. They start no process when Tab is pressed. */
import { Argument, type Command } from '@commander-js/extra-typings'
import type { Io } from '../terminal/io.ts'
import { bashScript, fishScript, zshScript } from './completion-scripts.ts'
import { describeProgram } from './describe-program.ts'

const examples = `
Examples:
  source <(parscale completion bash)                                  this shell; in ~/.bashrc, each one
  parscale completion zsh > "\${fpath[1]}/_parscale"
  parscale completion fish > ~/.config/fish/completions/parscale.fish`

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript }

export function register(command: Command, io: Io, whole: () => Promise<Command>): void {
  command
    .addArgument(new Argument('<shell>', 'bash, zsh or fish').choices(Object.keys(scripts) as (keyof typeof scripts)[]))
    .addHelpText('after', examples)
    .action(async (shell) => io.stdout(scripts[shell](describeProgram(await whole()))))
}
