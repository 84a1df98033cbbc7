import fc from 'fast-check'
import { testSeed } from '../packages/core/src/testing/seed.ts'

fc.configureGlobal({ seed: testSeed })
