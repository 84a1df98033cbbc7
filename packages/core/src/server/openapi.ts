/** The OpenAPI 3.1 document: made of the schemas that requests are checked with. */
import { z } from 'zod'
import { errorShape, parscaleShape, responseUsageShape, usageShape } from './protocol/fields.ts'
import type { Route } from './routes.ts'

const jsonBody = (schema: unknown) => ({ 'application/json': { schema } })
const refusals = ['400', '401', '403', '404', '405', '408', '409', '413', '415', '500', '502', '503']

/** What all answers of generating endpoints have beside OpenAI's own fields, which their schemas describe. */
const answer = z.looseObject({ usage: z.union([usageShape, responseUsageShape]).nullish(), parscale: parscaleShape.nullish() })

/** Answered by the app itself. */
export const ownRoutes = [
  {
    method: 'get',
    path: '/health',
    summary: '200 when requests are answered, 503 while the model is loaded and when the server ends',
  },
  { method: 'get', path: '/livez', summary: '200 as long as the process answers' },
  { method: 'get', path: '/metrics', summary: "Counters in Prometheus' text format" },
  { method: 'get', path: '/openapi.json', summary: 'This document' },
] as const satisfies readonly Partial<Route>[]

export function openApiDocument(routes: readonly Route[], version: string) {
  const error = { description: 'What is wrong.', content: jsonBody({ $ref: '#/components/schemas/Error' }) }
  const paths: Record<string, Record<string, unknown>> = {}
  for (const { method, path, summary, body, streams, generates } of [...routes, ...ownRoutes] as readonly Omit<
    Route,
    'answer'
  >[]) {
    const content = {
      ...(path === '/metrics'
        ? { 'text/plain': { schema: { type: 'string' } } }
        : jsonBody(generates ? { $ref: '#/components/schemas/Answer' } : {})),
      // Of events there is nothing to say before OpenAPI 3.2; as a whole they are no JSON.
      ...(streams && { 'text/event-stream': {} }),
    }
    const parameters = [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
      name,
      in: 'path',
      required: true,
      schema: { type: 'string' },
    }))
    const place = path.replace(/:(\w+)(?:\{[^}]*\})?/g, '{$1}')
    paths[place] = {
      ...paths[place],
      [method]: {
        summary,
        operationId: `${method}${place.replace(/\W+(\w?)/g, (_, letter: string) => letter.toUpperCase())}`,
        ...(parameters.length > 0 && { parameters }),
        ...(body && {
          requestBody: { required: true, content: jsonBody(z.toJSONSchema(body, { io: 'input', unrepresentable: 'any' })) },
        }),
        responses: {
          '200': { description: 'The answer.', content },
          ...Object.fromEntries(refusals.map((status) => [status, error])),
        },
      },
    }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'parscale', version, description: 'Parallel-scaled language models behind the OpenAI API.' },
    paths,
    components: {
      schemas: { Error: z.toJSONSchema(errorShape), Answer: z.toJSONSchema(answer) },
      securitySchemes: { key: { type: 'http', scheme: 'bearer' } },
    },
    security: [{ key: [] }, {}],
  }
}
