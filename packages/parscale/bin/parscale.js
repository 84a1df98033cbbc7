#!/usr/bin/env node
import module from 'node:module'

// Keeps compiled modules for the next start, where Node can (22.8 and later).
module.enableCompileCache?.()
const { run } = await import('../dist/cli.js')

process.exitCode = await run(process.argv)
