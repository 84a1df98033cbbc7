/** PyPI's moto as an S3 endpoint in a process of its own, and boto3, AWS's own client, as who looks at what is there. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { pythonEnvironment } from '../../../../../scripts/python-env.mjs'
import { freePort } from '../../../../core/src/testing/free-port.ts'

export interface MotoServer {
  readonly url: string
  /** What an environment needs for this endpoint. */
  readonly env: Readonly<Record<string, string>>
  /** Runs Python with `s3`, a client, and `bucket`; what it prints as JSON comes back. */
  python<T>(code: string, ...args: string[]): T
  /** The same beside what goes on in this process. */
  pythonBeside<T>(code: string, ...args: string[]): Promise<T>
  close(): Promise<void>
}

export const secret = 'Zsecret+of/the=tests'
export const bucketName = 'bucket'

export async function startMoto(): Promise<MotoServer> {
  const interpreter = pythonEnvironment('moto')
  const port = await freePort()
  const child = spawn(interpreter, ['-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4000)
  })
  const url = `http://127.0.0.1:${port}`
  await untilUp(child, url, () => said)
  const env = {
    AWS_ENDPOINT_URL: url,
    AWS_ACCESS_KEY_ID: 'AKIATESTTESTTESTTEST',
    AWS_SECRET_ACCESS_KEY: secret,
    AWS_REGION: 'us-east-1',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  }
  const withClient = (code: string) =>
    `import boto3, json, sys, hashlib, io\ns3 = boto3.client('s3')\nbucket = '${bucketName}'\nargs = sys.argv[1:]\n${code}`
  const options = {
    env: { ...process.env, ...env, AWS_DEFAULT_REGION: 'us-east-1' },
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  } as const
  const python = <T>(code: string, ...args: string[]): T =>
    JSON.parse(execFileSync(interpreter, ['-c', withClient(code), ...args], options) || 'null')
  const pythonBeside = async <T>(code: string, ...args: string[]): Promise<T> =>
    JSON.parse((await promisify(execFile)(interpreter, ['-c', withClient(code), ...args], options)).stdout || 'null')
  python('s3.create_bucket(Bucket=bucket)')
  return {
    url,
    env,
    python,
    pythonBeside,
    close: async () => {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill()
      await gone
    },
  }
}

async function untilUp(child: ChildProcess, url: string, said: () => string): Promise<void> {
  for (let tries = 0; tries < 6000; tries++) {
    if (child.exitCode !== null) throw new Error(`moto ended with ${child.exitCode}: ${said()}`)
    const answer = await fetch(url).catch(() => undefined)
    await answer?.body?.cancel()
    if (answer) return
    await sleep(100)
  }
  throw new Error(`moto does not answer: ${said()}`)
}
