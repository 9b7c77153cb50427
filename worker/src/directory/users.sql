-- Writes what lines say of users who have a row already: what a line leaves out is NULL in it and keeps its value.
-- Returns what their rows of `members` follow from.
--
-- $1 rows of `users` as JSON
UPDATE users u
SET network_ids = coalesce(l.network_ids, u.network_ids),
    first_name = coalesce(l.first_name, u.first_name),
    last_name = coalesce(l.last_name, u.last_name),
    company_name = coalesce(l.company_name, u.company_name),
    company_title = coalesce(l.company_title, u.company_title),
    birthday = coalesce(l.birthday, u.birthday),
    hometown = coalesce(l.hometown, u.hometown),
    education = coalesce(l.education, u.education),
    zip_code = coalesce(l.zip_code, u.zip_code),
    description = coalesce(l.description, u.description),
    link_url = coalesce(l.link_url, u.link_url),
    privacy_mode = coalesce(l.privacy_mode, u.privacy_mode),
    avatar = coalesce(l.avatar, u.avatar),
    avatar_3d = coalesce(l.avatar_3d, u.avatar_3d),
    params = coalesce(l.params, u.params),
    identity_type = coalesce(l.identity_type, u.identity_type),
    identity_name = coalesce(l.identity_name, u.identity_name),
    z_address = coalesce(l.z_address, u.z_address),
    contact_count = coalesce(l.contact_count, u.contact_count),
    pending_contact_count = coalesce(l.pending_contact_count, u.pending_contact_count),
    new_notifications_count = coalesce(l.new_notifications_count, u.new_notifications_count),
    ideal_match_count = coalesce(l.ideal_match_count, u.ideal_match_count),
    email = coalesce(l.email, u.email),
    email_verified = coalesce(l.email_verified, u.email_verified),
    phone_number = coalesce(l.phone_number, u.phone_number),
    phone_verified = l.phone_number IS NOT NULL OR u.phone_verified,
    facebook = coalesce(l.facebook, u.facebook),
    time_zone = coalesce(l.time_zone, u.time_zone),
    is_admin = coalesce(l.is_admin, u.is_admin),
    is_developer = coalesce(l.is_developer, u.is_developer),
    user_roles = coalesce(l.user_roles, u.user_roles),
    settings = coalesce(l.settings, u.settings),
    created_at = coalesce(l.created_at, u.created_at),
    updated_at = coalesce(l.updated_at, now()),
    deleted_at = NULL
FROM json_populate_recordset(NULL::users, $1::json) l
WHERE u.id = l.id
RETURNING u.id, u.network_ids, u.email, u.email_verified, u.is_admin, u.user_roles;
