// Signs a body as the senders' own libraries do: {secret, body, id, timestamp} in, headers by sender out.
import { readFileSync } from 'node:fs'
import { createHmac } from 'node:crypto'
import { sign as github } from '@octokit/webhooks-methods'
import { Webhook } from 'standardwebhooks'
import Stripe from 'stripe'

const { secret, whsec, body, id, timestamp } = JSON.parse(readFileSync(0, 'utf8'))
const stripe = new Stripe('sk_test_nothing')
console.log(JSON.stringify({
  standard_webhooks: {
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': new Webhook(whsec).sign(id, new Date(timestamp * 1000), body),
  },
  github: { 'x-github-event': 'push', 'x-github-delivery': id, 'x-hub-signature-256': await github(secret, body) },
  stripe: { 'stripe-signature': stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp }) },
  slack: {
    'x-slack-request-timestamp': String(timestamp),
    'x-slack-signature': 'v0=' + createHmac('sha256', secret).update(`v0:${timestamp}:${body}`).digest('hex'),
  },
}))
