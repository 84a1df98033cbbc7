/** A small packed model at FILE, for scripts/try-module.mjs:   npx tsx --conditions=source packages/native/test/support/pack-fixture.ts FILE */
import { copyFileSync } from 'node:fs'
import { byteModel } from '../../../core/src/testing/fixtures.ts'
import { packFolder } from './streams.ts'

const packed = await packFolder(byteModel)
copyFileSync(packed.backbone, process.argv[2]!)
packed.remove()
