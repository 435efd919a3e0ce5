// The `posthog-node` package under remote control; see toolchains.py.
import { createInterface } from 'node:readline'
import { PostHog } from 'posthog-node'

let client

const answers = {
  async open({ host, token, secret, poll_ms }) {
    client = new PostHog(token, {
      host,
      secretKey: secret ?? undefined,
      featureFlagsPollingInterval: poll_ms,
      flushInterval: 100,
    })
    if (secret) await client.waitForLocalEvaluationReady()
    return {}
  },
  async flag({ key, person, properties }) {
    const flags = await client.evaluateFlags(person, { personProperties: properties, flagKeys: [key] })
    return { value: flags.getFlag(key) ?? null }
  },
  async payload({ key, person, properties }) {
    const flags = await client.evaluateFlags(person, { personProperties: properties, flagKeys: [key] })
    return { value: flags.getFlagPayload(key) ?? null }
  },
  async capture({ event, person, properties }) {
    client.capture({ event, distinctId: person, properties })
    return {}
  },
  async flush() {
    await client.flush()
    return {}
  },
  async remote_config({ key }) {
    return { value: await client.getRemoteConfigPayload(key) }
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
await client?.shutdown()
