/** Digests of backbones, with Node's own SHA-256. */
import { createHash } from 'node:crypto'
import * as portable from '../../checkpoint/backbone-digest.ts'
import type { Checkpoint } from '../../checkpoint/open-checkpoint.ts'
import type { TensorStream } from '../../checkpoint/tensor-stream.ts'

export const sha256: portable.Hashing['sha256'] = () => createHash('sha256')

/** SHA-256, in hex, over name, type, shape and bytes of every tensor that all streams share. */
export const backboneDigest = (checkpoint: Checkpoint, signal?: AbortSignal): Promise<string> =>
  portable.backboneDigest(checkpoint, { sha256, signal })

/** The same of a backbone that is not in a file yet: its tensors, in the order of backboneParameters. */
export const tensorsDigest = (tensors: readonly TensorStream[], signal?: AbortSignal): Promise<string> =>
  portable.tensorsDigest(tensors, { sha256, signal })

/** @throws checkpoint error when a stream set was trained on another backbone, or does not say on which */
export const verifySameBackbone = (backbone: Checkpoint, others: readonly Checkpoint[], signal?: AbortSignal): Promise<void> =>
  portable.verifySameBackbone(backbone, others, { sha256, signal })
