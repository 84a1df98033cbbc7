/** The engine over the native step, as core's tests load it over ONNX Runtime. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Model } from '@parscale/core/internal/generation'
import { engineLoader } from '../../../core/src/testing/fixtures.ts'
import { type NativeDecoderOptions, nativeDecoder } from '../../src/native-decoder.ts'

export const loadEngine = engineLoader<Omit<NativeDecoderOptions, 'cacheDirectory'>>(async (files, options) => {
  const cacheDirectory = mkdtempSync(join(tmpdir(), 'parscale-cache-'))
  try {
    return new Model(files, await nativeDecoder(files, { ...options, cacheDirectory }))
  } finally {
    rmSync(cacheDirectory, { recursive: true }) // what is mapped stays
  }
})
