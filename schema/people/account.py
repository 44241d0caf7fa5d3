"""GraphQL: the caller's own account."""

import strawberry

from resolvers.people import account as account_ops
from resolvers.people.account import avatars
from schema.bridge.fields import mutation, output

output(account_ops.Profile, properties={"success": bool})


@strawberry.type
class AccountMutation:
    update_profile = mutation(account_ops.update_profile)
    change_password = mutation(account_ops.change_password)
    upload_avatar = mutation(avatars.upload_avatar)
    delete_avatar = mutation(avatars.delete_avatar)
    change_email = mutation(account_ops.change_email)
    confirm_email = mutation(account_ops.confirm_email)
    delete_account = mutation(account_ops.delete_account)
