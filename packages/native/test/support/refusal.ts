/** Which fixtures the native step does not run, and why. */
import { readFileSync } from 'node:fs'
import { parseModelConfig } from '@parscale/core/internal/checkpoint'
import { fixturesFolder } from '../../../core/src/testing/fixtures.ts'
import { nativeRefusal } from '../../src/index.ts'

/** @param name folder below fixtures/ */
export const refusalOf = (name: string): string | undefined =>
  nativeRefusal([parseModelConfig(JSON.parse(readFileSync(`${fixturesFolder}${name}/config.json`, 'utf8')))])
