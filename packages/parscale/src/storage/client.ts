/**
 * Object storage as this project asks it. Credentials, region, endpoint and signatures are the AWS SDK's, from where people have
 * them: AWS_* variables, ~/.aws/credentials and config, a profile, roles of a machine or a container. It is loaded when an s3://
 * name appears, and not before.
 */
import { createHash } from 'node:crypto'
import process from 'node:process'
import type { S3Client } from '@aws-sdk/client-s3'
import { anySignal, usageError } from '@parscale/core/internal'
import { nameOf } from './address.ts'
import { type Asked, codeOf, noAnswer, StorageError, storageError } from './errors.ts'

type Sdk = typeof import('@aws-sdk/client-s3')

export interface StoredObject {
  readonly key: string
  readonly bytes: number
  /** As the server spells it, in quotes. Changes with the content. */
  readonly etag: string
}

export interface ObjectBody {
  readonly etag: string
  /** Of the whole object. */
  readonly bytes: number
  /** Where the body begins. */
  readonly start: number
  /** As who wrote it has declared. */
  readonly sha256: string | undefined
  /** Whether the ETag may be something else than an MD5: the object is encrypted by a key of its own. */
  readonly opaqueEtag: boolean
  readonly modified: Date | undefined
  readonly chunks: AsyncIterable<Uint8Array>
}

export interface PutConditions {
  /** Only where there is no such object. */
  readonly absent?: boolean
  /** Only in place of this one. */
  readonly replaces?: string | undefined
}

export interface UploadedPart {
  readonly number: number
  readonly bytes: number
  readonly etag: string
}

export interface PendingUpload {
  readonly key: string
  readonly id: string
}

export const md5Of = (bytes: Uint8Array): Buffer => createHash('md5').update(bytes).digest()

/** Whether an ETag is of the form that an MD5 has. */
export const isMd5Etag = (etag: string): boolean => /^"?[0-9a-f]{32}"?$/.test(etag)

/** One bucket. */
export class Bucket {
  readonly bucket: string
  /** For messages, and to tell caches apart. */
  readonly host: string
  readonly #sdk: Sdk
  readonly #client: S3Client
  readonly #signal: AbortSignal | undefined

  private constructor(bucket: string, host: string, sdk: Sdk, client: S3Client, signal: AbortSignal | undefined) {
    this.bucket = bucket
    this.host = host
    this.#sdk = sdk
    this.#client = client
    this.#signal = signal
  }

  /** Reads the environment; asks nobody yet. @throws usage error where the SDK is not installed or an endpoint is no URL */
  static async open(bucket: string, signal?: AbortSignal): Promise<Bucket> {
    const sdk = await loadSdk()
    const { client, host } = await connect(sdk)
    return new Bucket(bucket, host, sdk, client, signal)
  }

  close(): void {
    this.#client.destroy()
  }

  name(key: string): string {
    return nameOf({ bucket: this.bucket, key })
  }

  /** Objects whose keys begin with `prefix`, in order of keys. */
  async *list(prefix: string): AsyncGenerator<StoredObject> {
    const asked = this.#asked(prefix, 'list')
    for (let token: string | undefined, first = true; first || token !== undefined; first = false) {
      const answer = await this.#send(asked, (signal) =>
        this.#client.send(new this.#sdk.ListObjectsV2Command({ Bucket: this.bucket, Prefix: prefix, ContinuationToken: token }), {
          abortSignal: signal,
        }),
      )
      if (answer.Name === undefined) throw noAnswer(asked)
      for (const { Key, Size, ETag } of answer.Contents ?? [])
        if (Key !== undefined) yield { key: Key, bytes: Size ?? 0, etag: ETag ?? '' }
      token = answer.IsTruncated ? answer.NextContinuationToken : undefined
    }
  }

  /** Undefined where there is none. `sha256`: as get has it. */
  async find(key: string): Promise<(StoredObject & { readonly sha256: string | undefined }) | undefined> {
    try {
      const { ContentLength, ETag, Metadata } = await this.#send(this.#asked(key, 'read'), (signal) =>
        this.#client.send(new this.#sdk.HeadObjectCommand({ Bucket: this.bucket, Key: key }), { abortSignal: signal }),
      )
      if (ETag === undefined) throw noAnswer(this.#asked(key, 'read'))
      return { key, bytes: ContentLength ?? 0, etag: ETag, sha256: sha256Of(Metadata) }
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  /** The object from byte `start` on, which `etag` may require to be the one that was listed. */
  async get(
    key: string,
    { start = 0, etag, signal }: { start?: number; etag?: string; signal?: AbortSignal } = {},
  ): Promise<ObjectBody> {
    const asked = this.#asked(key, 'read')
    const answer = await this.#send(
      asked,
      (abortSignal) =>
        this.#client.send(
          new this.#sdk.GetObjectCommand({
            Bucket: this.bucket,
            Key: key,
            ...(start > 0 && { Range: `bytes=${start}-` }),
            ...(etag && { IfMatch: etag }),
          }),
          { abortSignal },
        ),
      signal,
    )
    if (answer.ETag === undefined) throw noAnswer(asked)
    const [, from, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(answer.ContentRange ?? '') ?? []
    const body = answer.Body as AsyncIterable<Uint8Array> & { destroy?(): void }
    return {
      etag: answer.ETag,
      bytes: total === undefined ? (answer.ContentLength ?? 0) : Number(total),
      start: from === undefined ? 0 : Number(from),
      sha256: sha256Of(answer.Metadata),
      opaqueEtag: answer.SSECustomerAlgorithm !== undefined || /^aws:kms/.test(answer.ServerSideEncryption ?? ''),
      modified: answer.LastModified,
      chunks: chunksOf(body, asked, anySignal(this.#signal, signal)),
    }
  }

  /** A small object as a whole; undefined where there is none. @throws where it has more than `mostBytes` */
  async read(key: string, mostBytes: number): Promise<{ bytes: Buffer; etag: string; modified: Date | undefined } | undefined> {
    let body: ObjectBody
    try {
      body = await this.get(key)
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
    const chunks: Uint8Array[] = []
    let length = 0
    for await (const chunk of body.chunks) {
      length += chunk.length
      if (length > mostBytes)
        throw new StorageError(
          `${this.name(key)}: has more than ${mostBytes} bytes; it is not what it should be`,
          'TooLarge',
          false,
        )
      chunks.push(chunk)
    }
    if (length !== body.bytes) throw cut(this.name(key), body.bytes, length)
    return { bytes: Buffer.concat(chunks), etag: body.etag, modified: body.modified }
  }

  /** @returns the new object's ETag @throws code PreconditionFailed where a condition does not hold */
  async put(key: string, bytes: Uint8Array, conditions: PutConditions = {}, sha256?: string): Promise<string> {
    const md5 = md5Of(bytes)
    const answer = await this.#send(this.#asked(key, 'write'), (signal) =>
      this.#client.send(
        new this.#sdk.PutObjectCommand({
          Bucket: this.bucket,
          Key: key,
          Body: bytes,
          ContentMD5: md5.toString('base64'),
          ...(sha256 !== undefined && { Metadata: { sha256 } }),
          ...(conditions.absent && { IfNoneMatch: '*' }),
          ...(conditions.replaces !== undefined && { IfMatch: conditions.replaces }),
        }),
        { abortSignal: signal },
      ),
    )
    if (answer.ETag === undefined) throw noAnswer(this.#asked(key, 'write'))
    return answer.ETag
  }

  async remove(key: string): Promise<void> {
    await this.#send(this.#asked(key, 'write'), (signal) =>
      this.#client.send(new this.#sdk.DeleteObjectCommand({ Bucket: this.bucket, Key: key }), { abortSignal: signal }),
    )
  }

  async beginUpload(key: string, sha256: string): Promise<string> {
    const { UploadId } = await this.#send(this.#asked(key, 'write'), (signal) =>
      this.#client.send(new this.#sdk.CreateMultipartUploadCommand({ Bucket: this.bucket, Key: key, Metadata: { sha256 } }), {
        abortSignal: signal,
      }),
    )
    return UploadId!
  }

  async putPart(key: string, id: string, number: number, bytes: Uint8Array): Promise<UploadedPart> {
    const { ETag = '' } = await this.#send(this.#asked(key, 'write'), (signal) =>
      this.#client.send(
        new this.#sdk.UploadPartCommand({
          Bucket: this.bucket,
          Key: key,
          UploadId: id,
          PartNumber: number,
          Body: bytes,
          ContentMD5: md5Of(bytes).toString('base64'),
        }),
        { abortSignal: signal },
      ),
    )
    return { number, bytes: bytes.byteLength, etag: ETag }
  }

  async listParts(key: string, id: string): Promise<UploadedPart[]> {
    const parts: UploadedPart[] = []
    for (let marker: string | undefined, first = true; first || marker !== undefined; first = false) {
      const answer = await this.#send(this.#asked(key, 'list'), (signal) =>
        this.#client.send(
          new this.#sdk.ListPartsCommand({ Bucket: this.bucket, Key: key, UploadId: id, PartNumberMarker: marker }),
          { abortSignal: signal },
        ),
      )
      for (const { PartNumber, Size, ETag } of answer.Parts ?? [])
        if (PartNumber !== undefined) parts.push({ number: PartNumber, bytes: Size ?? 0, etag: ETag ?? '' })
      marker = answer.IsTruncated ? String(answer.NextPartNumberMarker) : undefined
    }
    return parts
  }

  /** Uploads below `prefix` that were neither completed nor aborted. */
  async pendingUploads(prefix: string): Promise<PendingUpload[]> {
    const uploads: PendingUpload[] = []
    let next: { KeyMarker: string | undefined; UploadIdMarker: string | undefined } | undefined
    do {
      const answer = await this.#send(this.#asked(prefix, 'list'), (signal) =>
        this.#client.send(new this.#sdk.ListMultipartUploadsCommand({ Bucket: this.bucket, Prefix: prefix, ...next }), {
          abortSignal: signal,
        }),
      )
      for (const { Key, UploadId } of answer.Uploads ?? [])
        if (Key?.startsWith(prefix) && UploadId !== undefined) uploads.push({ key: Key, id: UploadId })
      next = answer.IsTruncated ? { KeyMarker: answer.NextKeyMarker, UploadIdMarker: answer.NextUploadIdMarker } : undefined
    } while (next)
    return uploads
  }

  async completeUpload(key: string, id: string, parts: readonly UploadedPart[]): Promise<void> {
    const Parts = [...parts].sort((a, b) => a.number - b.number).map(({ number, etag }) => ({ PartNumber: number, ETag: etag }))
    await this.#send(this.#asked(key, 'write'), (signal) =>
      this.#client.send(
        new this.#sdk.CompleteMultipartUploadCommand({ Bucket: this.bucket, Key: key, UploadId: id, MultipartUpload: { Parts } }),
        { abortSignal: signal },
      ),
    )
  }

  async abortUpload({ key, id }: PendingUpload): Promise<void> {
    await this.#send(this.#asked(key, 'write'), (signal) =>
      this.#client.send(new this.#sdk.AbortMultipartUploadCommand({ Bucket: this.bucket, Key: key, UploadId: id }), {
        abortSignal: signal,
      }),
    ).catch((error) => {
      if (!isMissing(error)) throw error
    })
  }

  #asked(key: string, doing: Asked['doing']): Asked {
    return { name: this.name(key), bucket: this.bucket, host: this.host, doing }
  }

  async #send<T>(asked: Asked, request: (signal: AbortSignal) => Promise<T>, more?: AbortSignal): Promise<T> {
    const signal = anySignal(this.#signal, more)
    signal.throwIfAborted()
    try {
      return await request(signal)
    } catch (error) {
      signal.throwIfAborted()
      throw storageError(error, asked)
    }
  }
}

/** Whatever we store has it. */
function sha256Of({ sha256 }: Readonly<Record<string, string>> = {}): string | undefined {
  return sha256 !== undefined && /^[0-9a-f]{64}$/.test(sha256) ? sha256 : undefined
}

/** Neither a bucket that is not there nor one that may not be asked. */
export const isMissing = (error: unknown): boolean => ['NoSuchKey', 'NotFound', 'NoSuchUpload'].includes(codeOf(error) ?? '')

export const cut = (name: string, expected: number, found: number): StorageError =>
  new StorageError(`${name}: expected ${expected} bytes, the connection ended after ${found}; run again to resume`, 'Cut', true)

async function* chunksOf(
  body: AsyncIterable<Uint8Array> & { destroy?(): void },
  asked: Asked,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const stop = () => body.destroy?.()
  signal.addEventListener('abort', stop)
  try {
    for await (const chunk of body) {
      signal.throwIfAborted()
      yield chunk
    }
    signal.throwIfAborted()
  } catch (error) {
    signal.throwIfAborted()
    throw storageError(error, asked)
  } finally {
    signal.removeEventListener('abort', stop)
    body.destroy?.()
  }
}

async function loadSdk(): Promise<Sdk> {
  // It says on stderr that it will want Node 22 in 2027.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true'
  try {
    return await import('@aws-sdk/client-s3')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw usageError('s3:// names need the package @aws-sdk/client-s3, which is not installed: npm install @aws-sdk/client-s3', {
      expected: '@aws-sdk/client-s3',
      cause: error,
    })
  }
}

/** Where no region is said, Amazon's first: other endpoints take any, and Amazon says which one a bucket is in. */
const usualRegion = 'us-east-1'

async function connect(sdk: Sdk): Promise<{ client: S3Client; host: string }> {
  // One that is empty says nothing, but not to the SDK.
  for (const [name, value] of Object.entries(process.env)) if (name.startsWith('AWS_') && value === '') delete process.env[name]
  const probe = new sdk.S3Client({})
  // boto3 and the AWS command line read the second, the SDK does not.
  const { AWS_REGION, AWS_DEFAULT_REGION } = process.env
  const region = AWS_REGION ?? AWS_DEFAULT_REGION ?? (await probe.config.region().catch(() => usualRegion))
  const endpoint = await configuredEndpoint(probe)
  probe.destroy()
  const client = new sdk.S3Client({
    region,
    // Buckets as parts of host names need names that resolve; only Amazon's surely do.
    ...(endpoint && { endpoint: endpoint.href, forcePathStyle: true }),
    followRegionRedirects: true,
    maxAttempts: Number(process.env.AWS_MAX_ATTEMPTS) || 5,
    // Checksums of other endpoints are not all alike; MD5 of what is sent, and SHA-256 of files, are ours.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: 10_000, requestTimeout: 60_000, throwOnRequestTimeout: true },
  })
  return { client, host: endpoint?.host ?? `s3.${region}.amazonaws.com` }
}

/** AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or endpoint_url of the profile. */
async function configuredEndpoint(client: S3Client): Promise<URL | undefined> {
  const { serviceConfiguredEndpoint } = client.config as { serviceConfiguredEndpoint?: () => Promise<string | undefined> }
  const text = await serviceConfiguredEndpoint?.().catch(() => undefined)
  if (text === undefined) return undefined
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '') return url
  throw usageError('AWS_ENDPOINT_URL: expected a URL such as https://storage.example.org, without user name and password', {
    flag: 'AWS_ENDPOINT_URL',
  })
}
