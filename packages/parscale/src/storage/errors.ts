/** What the SDK's failures mean, in words that say what to do. The SDK's own texts are not repeated: they may hold keys and signatures. */
import { isParscaleError, ParscaleError } from '@parscale/core/internal'
import { networkCode } from '../hub/request.ts'
import { formatSeconds } from '../terminal/progress.ts'

/** What is known of an error that the SDK throws. */
interface SdkError {
  readonly name?: string
  readonly Code?: string
  readonly $metadata?: { readonly httpStatusCode?: number; readonly attempts?: number }
  readonly $response?: { readonly statusCode?: number; readonly headers?: Readonly<Record<string, string>> }
}

/** What the request was about. */
export interface Asked {
  /** `s3://BUCKET/KEY` */
  readonly name: string
  readonly bucket: string
  /** Who was asked. */
  readonly host: string
  readonly doing: 'read' | 'write' | 'list'
}

/** Codes that tell of something that passes, and what was tried in vain is tried again later. */
const passing = new Set([
  ...[
    'SlowDown',
    'ServiceUnavailable',
    'InternalError',
    'Throttling',
    'ThrottlingException',
    'TooManyRequests',
    'RequestLimitExceeded',
  ],
  ...['RequestTimeout', 'OperationAborted', 'ConditionalRequestConflict', 'TimeoutError'],
  // What arrived was not what was sent.
  ...['BadDigest', 'InvalidDigest', 'XAmzContentSHA256Mismatch', 'IncompleteBody', 'Damaged', 'Cut'],
])

/** A failure of storage. Its kind is that of the hub's, exit code 5: the network and who answers there. */
export class StorageError extends ParscaleError {
  /** S3's code, or one of our own. */
  readonly code: string
  /** Whether the same may succeed later. */
  readonly passes: boolean

  constructor(message: string, code: string, passes: boolean, status?: number) {
    super('hub', message, { found: status ?? code })
    this.code = code
    this.passes = passes
  }
}

/** Undefined for other failures. */
export const codeOf = (error: unknown): string | undefined => (error instanceof StorageError ? error.code : undefined)

export const isTransient = (error: unknown): boolean => error instanceof StorageError && error.passes

/** @returns an error of ours for whatever the SDK threw */
export function storageError(error: unknown, asked: Asked): ParscaleError {
  if (isParscaleError(error)) return error
  const { name = 'Error', Code, $metadata, $response } = error as SdkError
  const status = $metadata?.httpStatusCode ?? $response?.statusCode
  const code = codeText(Code ?? name, status)
  if (/^(CredentialsProviderError|TokenProviderError)$/.test(name))
    return new StorageError(`${asked.name}: ${noCredentials}`, name, false)
  if (status === undefined || status === 200) return connectionError(error, name, asked)
  const headers = $response?.headers ?? {}
  const passes = passing.has(code) || status >= 500 || status === 429 || status === 408
  const attempts = $metadata?.attempts ?? 1
  const answered = `${asked.host} answered ${status} (${code}${passes && attempts > 1 ? `, ${attempts} times` : ''})`
  return new StorageError(`${asked.name}: ${answered}; ${advice(code, status, headers, asked)}`, code, passes, status)
}

const noCredentials =
  'there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile of ~/.aws/credentials'

/** Foreign, so no more than a word of it. */
function codeText(code: string, status: number | undefined): string {
  if (status === 404 && code === 'NotFound') return 'NotFound'
  return /^[A-Za-z0-9._]{1,60}$/.test(code) ? code : 'unknown code'
}

function advice(code: string, status: number, headers: Readonly<Record<string, string>>, asked: Asked): string {
  const { bucket, doing } = asked
  switch (code) {
    case 'NoSuchBucket':
      return `there is no bucket ${bucket}; check its name, and AWS_ENDPOINT_URL where it is not Amazon's`
    case 'NoSuchKey':
    case 'NotFound':
      return 'there is no such object; check bucket and key'
    case 'ExpiredToken':
    case 'ExpiredTokenException':
    case 'TokenRefreshRequired':
      return 'the session token has expired; get new credentials (aws sso login, or another AWS_SESSION_TOKEN)'
    case 'InvalidAccessKeyId':
    case 'InvalidToken':
    case 'InvalidClientTokenId':
    case 'SignatureDoesNotMatch':
    case 'UnrecognizedClientException':
      return 'it does not know the credentials; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the profile, and that they are for this endpoint'
    case 'RequestTimeTooSkewed':
    case 'RequestExpired':
      return `this machine's clock is wrong${skew(headers.date)}; set it (timedatectl set-ntp true)`
    case 'SlowDown':
    case 'ServiceUnavailable':
      return 'it is too busy; try again later, or with fewer processes at once'
    case 'PreconditionFailed':
    case 'ConditionalRequestConflict':
      return 'somebody else wrote it meanwhile'
    case 'InvalidObjectState':
      return 'the object is archived; restore it first'
    case 'QuotaExceeded':
    case 'XMinioStorageFull':
      return 'there is no room; remove something from the bucket'
    case 'BadDigest':
    case 'XAmzContentSHA256Mismatch':
    case 'IncompleteBody':
      return 'what arrived is not what was sent; check the network in between'
    case 'NotImplemented':
      return 'the endpoint lacks this part of S3'
  }
  const region = headers['x-amz-bucket-region']
  if (
    status === 301 ||
    status === 307 ||
    /^(AuthorizationHeaderMalformed|IllegalLocationConstraintException)$/.test(code) ||
    region
  )
    return region
      ? `the bucket lies in the region ${region}; set AWS_REGION=${region}`
      : "the bucket lies in another region or behind another endpoint; set AWS_REGION to the bucket's, and check AWS_ENDPOINT_URL"
  if (status === 403 || status === 401)
    return `the credentials may not ${doing} it; check the policies of bucket and user, and which profile is used (AWS_PROFILE)`
  if (status === 507) return 'there is no room; remove something from the bucket'
  if (status >= 500) return 'try again later'
  return 'is AWS_ENDPOINT_URL an S3 endpoint?'
}

function skew(date: string | undefined): string {
  const ms = date === undefined ? Number.NaN : Date.now() - Date.parse(date)
  return Number.isFinite(ms) && Math.abs(ms) > 60_000
    ? `: it is ${formatSeconds(Math.abs(ms) / 1000)} ${ms > 0 ? 'ahead of' : 'behind'} the server's`
    : ''
}

/** A login page of a network, another server: an answer without what S3 always sends. */
export const noAnswer = ({ name, host }: Pick<Asked, 'name' | 'host'>): StorageError =>
  new StorageError(
    `${name}: ${host} sent what is no answer of S3; is AWS_ENDPOINT_URL an S3 endpoint, and does no network in between ask for a login?`,
    'NoAnswer',
    true,
  )

function connectionError(error: unknown, name: string, { name: asked, host }: Asked): ParscaleError {
  const code = name === 'TimeoutError' ? name : codeText(networkCode(error), undefined)
  if (/CERT|SELF_SIGNED|UNABLE_TO_VERIFY/.test(code))
    return new StorageError(
      `${asked}: the certificate of ${host} is not trusted (${code}); if it is yours, set NODE_EXTRA_CA_CERTS to it`,
      code,
      false,
    )
  if (/SyntaxError|Deserialization/.test(name) || code === 'unknown code') return noAnswer({ name: asked, host })
  return new StorageError(`${asked}: no connection to ${host} (${code}); check the network and AWS_ENDPOINT_URL`, code, true)
}
