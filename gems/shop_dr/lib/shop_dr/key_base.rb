# frozen_string_literal: true

module ShopDr
  # While SECRET_KEY_BASE is renewed: whatever was signed or encrypted with the other word is read as well, and what is made is made with the own one.
  # Cookies and sessions, `message_verifier` (Active Storage, `generates_token_for`), `signed_id`, signed global ids. What the application derives from
  # `secret_key_base` by itself it has to read by itself.
  module KeyBase
    NAME = "DR_SECRET_KEY_BASE_BESIDE"
    SIGNED_ID, GLOBAL_ID = "active_record/signed_id", "signed_global_ids" # Rails' own salts

    module_function

    # The other word; nil: there is none.
    def beside(env = ENV)
      told = env[NAME].to_s
      told unless told.empty?
    end

    # Before the first of them is made: a collection of verifiers takes no rotation after that.
    def verifiers(app, other)
      app.message_verifiers.rotate(secret_key_base: other)
    end

    # Once Rails has said by which digest keys are derived.
    def rest(app, other)
      keys = app.key_generator(other)
      cookies(app.config.action_dispatch, keys) if app.config.respond_to?(:action_dispatch)
      SignedGlobalID.verifier&.rotate(keys.generate_key(GLOBAL_ID)) if defined?(SignedGlobalID)
      ActiveSupport.on_load(:active_record) { signed_id_verifier.rotate(keys.generate_key(SIGNED_ID)) }
    end

    def cookies(told, keys)
      length = ActiveSupport::MessageEncryptor.key_len(told.encrypted_cookie_cipher || "aes-256-gcm")
      told.cookies_rotations.rotate(:encrypted, keys.generate_key(told.authenticated_encrypted_cookie_salt, length))
      told.cookies_rotations.rotate(:signed, keys.generate_key(told.signed_cookie_salt))
    end
  end
end
