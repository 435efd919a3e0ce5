// The `@openfeature/ofrep-provider` package under remote control; see toolchains.py.
import { createInterface } from 'node:readline'
import { OpenFeature } from '@openfeature/server-sdk'
import { OFREPProvider } from '@openfeature/ofrep-provider'

const getters = {
  boolean: 'getBooleanDetails',
  string: 'getStringDetails',
  integer: 'getNumberDetails',
  object: 'getObjectDetails',
}

const answers = {
  async open({ host, token }) {
    const headers = [['Authorization', `Bearer ${token}`]]
    await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: host, headers }))
    return {}
  },
  async value({ kind, key, person, properties, otherwise }) {
    const context = { targetingKey: person, ...properties }
    const details = await OpenFeature.getClient()[getters[kind]](key, otherwise, context)
    return {
      value: details.value,
      variant: details.variant ?? null,
      reason: details.reason ?? null,
      failure: details.errorCode ?? null,
      status: details.flagMetadata.status ?? null,
    }
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line)
  let answer
  try {
    answer = await answers[request.do](request)
  } catch (error) {
    answer = { error: String(error) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
await OpenFeature.close()
